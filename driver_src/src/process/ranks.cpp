#include "process/ranks.hpp"

#include <sched.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>
#include <type_traits>

#include "base/error.hpp"
#include "process/started_mpi.hpp"

namespace torchml {

namespace {

using Clock = std::chrono::steady_clock;

constexpr int failure_tag = 1, neighbour_tag = 2, first_scatter_tag = 3;  // and the next one
constexpr std::size_t largest_part = std::size_t{1} << 30;                // MPI counts with int

constexpr std::size_t status_size = 128;  // bytes of the largest known, with room

/// MPI's functions and constants in one family. Handle: its communicators, types and requests.
template <class Handle>
struct Api {
    static constexpr bool integers = std::is_same_v<Handle, int>;

    explicit Api(const StartedMpi& mpi) {
        take(mpi, "MPI_Comm_dup", comm_dup);
        take(mpi, "MPI_Comm_rank", comm_rank);
        take(mpi, "MPI_Comm_size", comm_size);
        take(mpi, "MPI_Isend", isend);
        take(mpi, "MPI_Issend", issend);
        take(mpi, "MPI_Irecv", irecv);
        take(mpi, "MPI_Iprobe", iprobe);
        take(mpi, "MPI_Get_count", get_count);
        take(mpi, "MPI_Test", test);
        take(mpi, "MPI_Ibarrier", ibarrier);
        take(mpi, "MPI_Iallreduce", iallreduce);
        take(mpi, "MPI_Iallgather", iallgather);
        take(mpi, "MPI_Ibcast", ibcast);
        if constexpr (integers) {
            world = 0x44000000;
            byte = 0x4c00010d;
            integer = 0x4c000405;
            maximum = 0x58000001;
        } else {
            world = mpi.symbol<void*>("ompi_mpi_comm_world");
            byte = mpi.symbol<void*>("ompi_mpi_byte");
            integer = mpi.symbol<void*>("ompi_mpi_int");
            maximum = mpi.symbol<void*>("ompi_mpi_op_max");
            if (byte == nullptr || integer == nullptr || maximum == nullptr) missing = "MPI_BYTE";
        }
    }

    int source_of(const char* status) const {
        int source = 0;
        std::copy_n(status + (integers ? 2 * sizeof(int) : 0), sizeof(int),
                    reinterpret_cast<char*>(&source));
        return source;
    }

    static constexpr int any_source = integers ? -2 : -1;

    template <class Function>
    void take(const StartedMpi& mpi, const char* name, Function& function) {
        function = mpi.symbol<Function>(name);
        if (function == nullptr) missing = name;
    }

    Handle world{}, byte{}, integer{}, maximum{};
    const char* missing = nullptr;
    int (*comm_dup)(Handle, Handle*) = nullptr;
    int (*comm_rank)(Handle, int*) = nullptr;
    int (*comm_size)(Handle, int*) = nullptr;
    int (*isend)(const void*, int, Handle, int, int, Handle, Handle*) = nullptr;
    int (*issend)(const void*, int, Handle, int, int, Handle, Handle*) = nullptr;
    int (*irecv)(void*, int, Handle, int, int, Handle, Handle*) = nullptr;
    int (*iprobe)(int, int, Handle, int*, void*) = nullptr;
    int (*get_count)(const void*, Handle, int*) = nullptr;
    int (*test)(Handle*, int*, void*) = nullptr;
    int (*ibarrier)(Handle, Handle*) = nullptr;
    int (*iallreduce)(const void*, void*, int, Handle, Handle, Handle, Handle*) = nullptr;
    int (*iallgather)(const void*, int, Handle, void*, int, Handle, Handle, Handle*) = nullptr;
    int (*ibcast)(void*, int, Handle, int, Handle, Handle*) = nullptr;
};

template <class Handle>
class MpiRanks final : public Ranks {
  public:
    /// Collective, over MPI_COMM_WORLD.
    MpiRanks(const Api<Handle>& api, double patience) : api_(api), communicator_(api.world) {
        check(api_.comm_rank(api_.world, &rank_));
        check(api_.comm_size(api_.world, &size_));
        if (patience > 0.0) meet(patience);
        Handle own{};
        check(api_.comm_dup(api_.world, &own));
        communicator_ = own;
        connected_ = true;
    }

    int size() const override { return size_; }
    int rank() const override { return rank_; }

    int largest(int value) override {
        int result = value;
        Handle request{};
        check(api_.iallreduce(&value, &result, 1, api_.integer, api_.maximum, communicator_,
                              &request));
        wait(request);
        return result;
    }

    std::vector<double> gather(const std::vector<double>& values) override {
        std::vector<double> all(values.size() * static_cast<std::size_t>(size_));
        const int bytes = bytes_of(values.size());
        Handle request{};
        check(api_.iallgather(values.data(), bytes, api_.byte, all.data(), bytes, api_.byte,
                              communicator_, &request));
        wait(request);
        return all;
    }

    std::vector<double> from_first(std::vector<double> values) override {
        std::uint64_t count = values.size();
        Handle request{};
        check(api_.ibcast(&count, sizeof count, api_.byte, 0, communicator_, &request));
        wait(request);
        values.resize(count);
        check(api_.ibcast(values.data(), bytes_of(count), api_.byte, 0, communicator_, &request));
        wait(request);
        return values;
    }

    // Each rank's messages have arrived before its synchronous sends end; when all ranks' have,
    // which a barrier tells, no more will come.
    std::map<int, std::vector<double>> scatter(
        const std::map<int, std::vector<double>>& messages) override {
        // A rank that is done may already send the next time's.
        const int tag = first_scatter_tag + (n_scatters_++ % 2);
        std::vector<Handle> sends;
        for (const auto& [rank, values] : messages) {
            sends.emplace_back();
            check(api_.issend(values.data(), bytes_of(values.size()), api_.byte, rank, tag,
                              communicator_, &sends.back()));
        }
        std::map<int, std::vector<double>> received;
        std::optional<Handle> barrier;
        for (;;) {
            std::array<char, status_size> status{};
            int is_there = 0;
            check(
                api_.iprobe(Api<Handle>::any_source, tag, communicator_, &is_there, status.data()));
            if (is_there) {
                const int from = api_.source_of(status.data());
                int bytes = 0;
                check(api_.get_count(status.data(), api_.byte, &bytes));
                std::vector<double>& values = received[from];
                values.resize(static_cast<std::size_t>(bytes) / sizeof(double));
                Handle request{};
                check(api_.irecv(values.data(), bytes, api_.byte, from, tag, communicator_,
                                 &request));
                wait(request);
                continue;
            }
            if (barrier) {
                if (is_done(*barrier)) return received;
            } else {
                while (!sends.empty() && is_done(sends.back())) sends.pop_back();
                if (sends.empty()) {
                    barrier.emplace();
                    check(api_.ibarrier(communicator_, &*barrier));
                }
            }
            pause();
        }
    }

    void exchange(const std::vector<Message>& out, const std::vector<Message>& in) override {
        requests_.clear();
        for (const Message& message : in) {
            for_parts(message, [&](char* bytes, int size) {
                check(api_.irecv(bytes, size, api_.byte, message.rank, neighbour_tag, communicator_,
                                 &next_request()));
            });
        }
        for (const Message& message : out) {
            for_parts(message, [&](char* bytes, int size) {
                check(api_.isend(bytes, size, api_.byte, message.rank, neighbour_tag, communicator_,
                                 &next_request()));
            });
        }
        for (Handle& request : requests_) wait(request);
    }

    void give_up_here(const std::string& message) {
        if (!connected_) return;
        connected_ = false;
        why_ = message;
        // MPI may read these until the process ends.
        auto* text = new std::string(message.substr(0, 2000));
        for (int rank = 0; rank < size_; ++rank) {
            Handle request{};
            if (rank != rank_) {
                api_.isend(text->data(), static_cast<int>(text->size()), api_.byte, rank,
                           failure_tag, communicator_, &request);
            }
        }
    }

  private:
    static void check(int code) {
        if (code != 0) fail("MPI reported error ", code, " while ranks exchanged features.");
    }

    static int bytes_of(std::size_t n_values) {
        const std::size_t bytes = n_values * sizeof(double);
        if (bytes > largest_part) {
            fail("a message between ranks would have ", bytes,
                 " bytes; MPI takes a gigabyte here. Use more ranks, or set "
                 "KIM_MODEL_GHOSTS=stage.");
        }
        return static_cast<int>(bytes);
    }

    template <class Part>
    static void for_parts(const Message& message, const Part& part) {
        for (std::size_t done = 0; done < message.size; done += largest_part) {
            part(message.bytes + done,
                 static_cast<int>(std::min(largest_part, message.size - done)));
        }
    }

    Handle& next_request() {
        requests_.emplace_back();
        return requests_.back();
    }

    bool is_done(Handle& request) {
        int done = 0;
        std::array<char, status_size> status{};
        check(api_.test(&request, &done, status.data()));
        return done != 0;
    }

    void wait(Handle& request) {
        while (!is_done(request)) pause();
    }

    /// Looks now and then whether another rank has given up; lets others have the core, since there
    /// may be more ranks than cores.
    void pause() {
        if (!connected_) fail("the ranks cannot go on, since one of them has failed: ", why_);
        if (++n_pauses_ % 64 != 0) return;
        sched_yield();
        if (n_pauses_ % 1024 != 0) return;
        std::array<char, status_size> status{};
        int is_there = 0;
        check(api_.iprobe(Api<Handle>::any_source, failure_tag, communicator_, &is_there,
                          status.data()));
        if (!is_there) return;
        const int from = api_.source_of(status.data());
        int bytes = 0;
        check(api_.get_count(status.data(), api_.byte, &bytes));
        std::string text(static_cast<std::size_t>(bytes), '\0');
        Handle request{};
        check(
            api_.irecv(text.data(), bytes, api_.byte, from, failure_tag, communicator_, &request));
        while (!is_done(request)) sched_yield();
        connected_ = false;
        why_ = "rank " + std::to_string(from) + ": " + text;
        fail("another MPI rank has failed, so this one cannot go on either. Rank ", from, ": ",
             text);
    }

    /// Waits for all ranks to come here.
    void meet(double patience) {
        Handle barrier{};
        check(api_.ibarrier(api_.world, &barrier));
        const auto start = Clock::now();
        while (!is_done(barrier)) {
            sched_yield();
            if (std::chrono::duration<double>(Clock::now() - start).count() > patience) {
                fail("KIM_MODEL_GHOSTS is exchange, but not all ", size_,
                     " ranks of the MPI job have started to compute with this model within ",
                     patience,
                     " s. They exchange features only if all of them compute one system together. "
                     "Set KIM_MODEL_GHOSTS=auto.");
            }
        }
    }

    Api<Handle> api_;
    Handle communicator_;
    int rank_ = 0, size_ = 0;
    bool connected_ = false;
    std::string why_;
    int n_scatters_ = 0;
    std::uint64_t n_pauses_ = 0;
    std::vector<Handle> requests_;
};

/// What MPI does here, once known.
struct Known {
    bool asked = false;
    std::unique_ptr<MpiRanks<void*>> pointers;
    std::unique_ptr<MpiRanks<int>> integers;
    std::string why;
    std::string error;  // of the first attempt
};

Known& known() {
    static Known known;
    return known;
}

template <class Handle>
std::unique_ptr<MpiRanks<Handle>> connect(const StartedMpi& mpi, double patience,
                                          std::string& why) {
    const Api<Handle> api(mpi);
    if (api.missing != nullptr) {
        why = std::string("the program's MPI has no ") + api.missing;
        return nullptr;
    }
    return std::make_unique<MpiRanks<Handle>>(api, patience);
}

}  // namespace

Ranks* Ranks::all(double patience, std::string& why) {
    Known& here = known();
    if (!here.error.empty()) fail(here.error);
    if (!here.asked) {
        const auto mpi = StartedMpi::find();
        if (!mpi) {
            why = "the program has started no MPI that the driver knows";
            return nullptr;  // it may start one later
        }
        try {
            if (mpi->size() < 2) {
                here.why = "there is one MPI rank only";
            } else if (mpi->family() == StartedMpi::Family::integers) {
                here.integers = connect<int>(*mpi, patience, here.why);
            } else if (mpi->family() == StartedMpi::Family::pointers) {
                here.pointers = connect<void*>(*mpi, patience, here.why);
            } else {
                here.why = "the program's MPI has the standard ABI, which the driver does not know";
            }
        } catch (const Error& problem) {
            here.error = problem.what();
            throw;
        }
        here.asked = true;
    }
    why = here.why;
    if (here.pointers) return here.pointers.get();
    return here.integers.get();
}

void Ranks::give_up(const std::string& message) {
    if (known().pointers) known().pointers->give_up_here(message);
    if (known().integers) known().integers->give_up_here(message);
}

}  // namespace torchml

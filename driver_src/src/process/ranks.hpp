#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace torchml {

/// The processes that compute one system together, over the MPI that the program has started.
///
/// All functions besides size(), rank() and give_up() are collective: all ranks call them in the
/// same order. Throws Error if MPI fails, or after some rank has given up.
class Ranks {
  public:
    /// All ranks of MPI_COMM_WORLD, in a communicator of the driver's; made at the first call,
    /// which is collective. `patience`: after how many seconds without the others to throw an
    /// Error; 0: never. nullptr if there are fewer than two ranks, or MPI lacks what is needed;
    /// `why` then gets the reason. As collective as the rest, but all ranks get the same answer.
    static Ranks* all(double patience, std::string& why);

    /// Tells the other ranks that this one cannot go on: they throw an Error with the message when
    /// they wait for it. Nothing happens unless ranks are connected.
    static void give_up(const std::string& message);

    virtual ~Ranks() = default;
    Ranks() = default;
    Ranks(const Ranks&) = delete;
    Ranks& operator=(const Ranks&) = delete;

    virtual int size() const = 0;
    virtual int rank() const = 0;

    /// The largest of all ranks' values.
    virtual int largest(int value) = 0;

    /// The values of all ranks, in their order; each gives as many.
    virtual std::vector<double> gather(const std::vector<double>& values) = 0;

    /// What rank 0 passes.
    virtual std::vector<double> from_first(std::vector<double> values) = 0;

    /// Sends messages to some ranks, which do not know that any will come; returns those that other
    /// ranks have sent to this one, by rank.
    virtual std::map<int, std::vector<double>> scatter(
        const std::map<int, std::vector<double>>& messages) = 0;

    /// Bytes to send to a rank, or to receive from it.
    struct Message {
        int rank;
        char* bytes;
        std::size_t size;
    };

    /// Sends to and receives from neighbouring ranks, which know how much will come.
    virtual void exchange(const std::vector<Message>& out, const std::vector<Message>& in) = 0;
};

}  // namespace torchml

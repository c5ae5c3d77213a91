#include "runtime/loaded_libraries.hpp"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/dot.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/mv.h>
#include <dlfcn.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <new>
#include <set>
#include <string>
#include <system_error>
#include <vector>

#include "base/error.hpp"
#include "base/joined.hpp"
#include "process/shared_libraries.hpp"
#include "runtime/libtorch.hpp"
#include "runtime/messages.hpp"

namespace torchml {

namespace {

/// This process's libraries of a name, libtorch_cpu or libc10, with symbolic links resolved.
std::set<std::filesystem::path> loaded_libraries(const std::string& name) {
    std::set<std::filesystem::path> found;
    for (const std::filesystem::path& path : shared_libraries()) {
        if (path.filename().string().rfind(name + ".so", 0) != 0) continue;
        std::error_code failed;
        const auto real = std::filesystem::canonical(path, failed);
        found.insert(failed ? path : real);
    }
    return found;
}

/// The version that a Python package of torch records above its libraries; "" where there is none.
std::string version_beside(const std::filesystem::path& library) {
    std::ifstream file(library.parent_path().parent_path() / "version.py");
    std::string line;
    while (std::getline(file, line)) {
        if (line.rfind("__version__", 0) != 0) continue;
        const auto start = line.find_first_of("'\"");
        if (start == std::string::npos) break;
        return line.substr(start + 1, line.find_first_of("'\"", start + 1) - start - 1);
    }
    return "";
}

/// "torch 2.13.0 in /folder", or as much of it as is known.
std::string described(const std::filesystem::path& library) {
    const std::string version = version_beside(library);
    return "torch " + (version.empty() ? "" : version + " ") + "in " +
           library.parent_path().string();
}

const char* const one_torch =
    " Use one torch: start the program from the environment in which the driver was built; or "
    "build the driver for the other torch, with `torchml-install driver` in its environment. "
    "`torchml-install doctor` shows which is which.";

/// The file that a symbol comes from; "" if unknown.
std::string file_of(const void* symbol) {
    Dl_info found{};
    if (symbol == nullptr || dladdr(symbol, &found) == 0 || found.dli_fname == nullptr) return "";
    return found.dli_fname;
}

/// A routine that torch or its own libraries include, but that comes from another library.
struct Replaced {
    std::string name;
    std::string file;  ///< that library
};

/// Routines of BLAS, and of MKL where torch includes it.
const char* const routines[] = {"dgemm_", "sgemm_", "dgemv_",         "sgemv_",
                                "ddot_",  "sdot_",  "mkl_blas_dgemm", "mkl_blas_sgemm"};

std::vector<Replaced> replaced_routines() {
    std::vector<Replaced> found;
    const auto torchs = loaded_libraries("libtorch_cpu");
    if (torchs.empty()) return found;
    // dlsym then searches torch, and the libraries that it was linked with.
    void* torch = dlopen(torchs.begin()->c_str(), RTLD_LAZY | RTLD_NOLOAD);
    if (torch == nullptr) return found;
    for (const char* name : routines) {
        const void* own = dlsym(torch, name);
        const void* used = dlsym(RTLD_DEFAULT, name);
        if (own == nullptr || used == nullptr || own == used) continue;
        const std::filesystem::path file = file_of(used);
        // MKL's libraries take routines from each other.
        if (file.parent_path() == std::filesystem::path(file_of(own)).parent_path()) continue;
        found.push_back({name, file.string()});
    }
    dlclose(torch);
    return found;
}

/// The libraries that replace torch's routines, in words; "" if there are none.
std::string whose(const std::vector<Replaced>& replaced) {
    if (replaced.empty()) return "";
    std::set<std::string> files, names;
    for (const Replaced& one : replaced) {
        files.insert(one.file);
        names.insert(one.name);
    }
    return "this process has loaded " + joined(files) +
           (files.size() == 1 ? ", which replaces" : ", which replace") + " torch's own " +
           joined(names);
}

/// A rows x columns matrix of small whole numbers, whose sums are exact in any order.
at::Tensor whole_numbers(std::int64_t rows, std::int64_t columns, at::ScalarType type) {
    at::Tensor made = at::empty({rows, columns}, at::TensorOptions().dtype(at::kDouble));
    auto* value = made.data_ptr<double>();
    for (std::int64_t k = 0; k < rows * columns; ++k) {
        value[k] = static_cast<double>((5 * k + 3) % 11 - 4);
    }
    return made.to(type);
}

/// Element (i, j) of the product of two matrices, computed here.
double product_at(const at::Tensor& a, const at::Tensor& b, std::int64_t i, std::int64_t j) {
    const auto* left = a.data_ptr<double>();
    const auto* right = b.data_ptr<double>();
    double sum = 0.0;
    for (std::int64_t k = 0; k < a.size(1); ++k) {
        sum += left[i * a.size(1) + k] * right[k * b.size(1) + j];
    }
    return sum;
}

/// A product that torch computes wrongly, in words; "" if there is none.
std::string wrong_product(at::ScalarType type) {
    constexpr std::int64_t n = 6, m = 7, k = 5;
    const at::Tensor a = whole_numbers(n, k, at::kDouble), b = whole_numbers(k, m, at::kDouble);
    const at::Tensor a_typed = a.to(type), b_typed = b.to(type);
    const auto difference = [type](const char* what, double found, double wanted) {
        std::ostringstream text;
        text << "a " << what << " of " << c10::toString(type) << " gives " << found
             << " instead of " << wanted;
        return text.str();
    };
    const at::Tensor product = at::mm(a_typed, b_typed).to(at::kDouble).contiguous();
    const at::Tensor transposed = at::mm(b_typed.t(), a_typed.t()).to(at::kDouble).t().contiguous();
    for (std::int64_t i = 0; i < n; ++i) {
        for (std::int64_t j = 0; j < m; ++j) {
            const double wanted = product_at(a, b, i, j);
            for (const at::Tensor& found : {product, transposed}) {
                const double value = found.data_ptr<double>()[i * m + j];
                if (value != wanted) return difference("product of matrices", value, wanted);
            }
        }
    }
    const at::Tensor column = b_typed.select(1, 2).contiguous();
    const at::Tensor vector = at::mv(a_typed, column).to(at::kDouble).contiguous();
    for (std::int64_t i = 0; i < n; ++i) {
        const double value = vector.data_ptr<double>()[i], wanted = product_at(a, b, i, 2);
        if (value != wanted) return difference("product of matrix and vector", value, wanted);
    }
    const double dot = at::dot(a_typed.select(0, 1).contiguous(), column).item<double>();
    if (dot != product_at(a, b, 1, 2)) {
        return difference("product of two vectors", dot, product_at(a, b, 1, 2));
    }
    return "";
}

/// Throws Error if threads would get their numbers from another library than the one that starts
/// them: all would then do the first one's work.
void require_one_openmp() {
    const std::string starts = file_of(dlsym(RTLD_DEFAULT, "GOMP_parallel"));
    if (starts.empty()) return;
    for (const char* name : {"omp_get_thread_num", "omp_get_num_threads", "omp_get_max_threads",
                             "omp_in_parallel", "omp_set_num_threads"}) {
        const std::string counts = file_of(dlsym(RTLD_DEFAULT, name));
        if (counts.empty() || counts == starts) continue;
        fail("two OpenMP libraries share the work of this process: torch's threads are started by ",
             starts, " (GOMP_parallel) and counted by ", counts, " (", name,
             "), so parts of a result would never be computed. Take either library out of "
             "LD_PRELOAD, or link the program with one OpenMP library.");
    }
}

}  // namespace

void require_one_torch() {
    const auto libraries = loaded_libraries("libtorch_cpu");
    if (libraries.size() > 1) {
        fail("this process has loaded two torches, ", described(*libraries.begin()), " and ",
             described(*libraries.rbegin()), "; the driver was built for ", torch_built_for(), ".",
             one_torch);
    }
    const auto cores = loaded_libraries("libc10");
    if (libraries.size() == 1 && cores.size() == 1 &&
        libraries.begin()->parent_path() != cores.begin()->parent_path()) {
        fail("this process has loaded the libraries of two torches: libtorch_cpu of ",
             described(*libraries.begin()), " and libc10 of ", described(*cores.begin()), ".",
             one_torch);
    }
    const std::string running = torch_version();
    if (series(running) == series(TORCHML_LIBTORCH_VERSION)) return;
    fail("this process computes with torch ", running, " in ", torch_folder().string(),
         ", but the driver was built for ", torch_built_for(), ".", one_torch);
}

void check_linear_algebra(Warnings& warnings) {
    require_one_openmp();
    const std::vector<Replaced> replaced = replaced_routines();
    const std::string others = whose(replaced);
    std::string wrong;
    {
        const at::AutoGradMode no_recording(false);
        for (const at::ScalarType type : {at::kDouble, at::kFloat}) {
            try {
                if (wrong.empty()) wrong = wrong_product(type);
            } catch (const std::bad_alloc&) {
                throw;
            } catch (const std::exception& problem) {
                wrong = essence(problem);
            }
        }
    }
    if (!wrong.empty()) {
        fail("torch cannot multiply matrices in this process: ", wrong,
             others.empty() ? ". This torch may be damaged: install it again."
                            : "; " + others +
                                  ". Take that library out of LD_PRELOAD, or use a program "
                                  "that is not linked with it.");
    }
    if (others.empty()) return;
    warnings.add(others +
                 ". Small products are correct; speed and rounding are that library's. Unless you "
                 "want that, take it out of LD_PRELOAD, or use a program that is not linked with "
                 "it.");
}

}  // namespace torchml

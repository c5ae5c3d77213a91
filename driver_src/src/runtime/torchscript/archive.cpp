#include "runtime/torchscript/archive.hpp"

#include <ATen/core/dispatch/Dispatcher.h>
#include <caffe2/serialize/inline_container.h>
#include <caffe2/serialize/read_adapter_interface.h>
#include <caffe2/serialize/versions.h>
#include <torch/csrc/jit/runtime/operator.h>
#include <torch/csrc/jit/serialization/import.h>

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "base/joined.hpp"
#include "runtime/extensions.hpp"
#include "runtime/file_kind.hpp"
#include "runtime/libtorch.hpp"
#include "runtime/torchscript/carried_libraries.hpp"
#include "runtime/torchscript/operator_calls.hpp"
#include "torch_ops/operators.hpp"

namespace torchml {

namespace {

using caffe2::serialize::PyTorchStreamReader;
using caffe2::serialize::PyTorchStreamWriter;

/// An archive in memory, for torch to read.
class MemoryArchive final : public caffe2::serialize::ReadAdapterInterface {
  public:
    explicit MemoryArchive(std::string bytes) : bytes_(std::move(bytes)) {}

    std::size_t size() const override { return bytes_.size(); }

    std::size_t read(std::uint64_t position, void* buffer, std::size_t count,
                     const char* /*what*/) const override {
        if (position >= bytes_.size()) return 0;
        count = std::min(count, bytes_.size() - static_cast<std::size_t>(position));
        std::memcpy(buffer, bytes_.data() + position, count);
        return count;
    }

  private:
    std::string bytes_;
};

bool ends_with(const std::string& text, const std::string& end) {
    return text.size() >= end.size() &&
           text.compare(text.size() - end.size(), end.size(), end) == 0;
}

/// The code of a model: the text of each record, by name.
using Code = std::map<std::string, std::string>;

Code read_code(PyTorchStreamReader& reader) {
    Code code;
    for (const std::string& record : reader.getAllRecords()) {
        if (record.rfind("code/", 0) != 0 || !ends_with(record, ".py")) continue;
        const auto [data, size] = reader.getRecord(record);
        code[record] = std::string(static_cast<const char*>(data.get()), size);
    }
    return code;
}

bool is_replaceable(const std::string& library) {
    return library == "torch_scatter" || library == "torch_sparse";
}

/// The namespace of the driver's own operator of that name, or "" if it has none.
std::string our_namespace(const OperatorCall& call) {
    const bool own = call.library == "torchml";
    if (!own && !is_replaceable(call.library)) return "";
    const auto& ours = registered_operators();
    const std::string& space = own                               ? ours.torchml
                               : call.library == "torch_scatter" ? ours.scatter
                                                                 : ours.sparse;
    const auto schema =
        c10::Dispatcher::singleton().findSchema({space + "::" + call.name, /*overload=*/""});
    return schema ? space : "";
}

bool is_registered(const OperatorCall& call) {
    const auto symbol = c10::Symbol::fromQualString(call.library + "::" + call.name);
    return !torch::jit::getAllOperatorsFor(symbol).empty();
}

/// Redirects calls to the driver's own operators where it has them. Returns whether code changed.
bool redirect(std::string& code, OperatorSource source) {
    auto calls = find_operator_calls(code);
    std::reverse(calls.begin(), calls.end());  // so that earlier positions stay valid
    bool changed = false;
    for (const OperatorCall& call : calls) {
        const std::string space = our_namespace(call);
        if (space.empty()) continue;
        if (source == OperatorSource::extension && is_replaceable(call.library)) continue;
        code.replace(call.position, call.library.size(), space);
        changed = true;
    }
    return changed;
}

/// The archive with new code. Copies tensors through memory one at a time.
std::string rewritten(PyTorchStreamReader& reader, const Code& code, std::uintmax_t size) {
    std::string bytes;
    bytes.reserve(static_cast<std::size_t>(size + size / 8));  // code grows a little
    PyTorchStreamWriter writer([&](const void* data, std::size_t size) {
        bytes.append(static_cast<const char*>(data), size);
        return size;
    });
    writer.setMinVersion(reader.version());
    for (const std::string& record : reader.getAllRecords()) {
        if (record == ".data/serialization_id") continue;  // the writer creates its own
        const auto replacement = code.find(record);
        if (replacement != code.end()) {
            writer.writeRecord(record, replacement->second.data(), replacement->second.size());
            continue;
        }
        // Debug records hold positions in the code, which are no longer valid.
        const std::string debug = ".debug_pkl";
        if (ends_with(record, debug) &&
            code.count(record.substr(0, record.size() - debug.size()))) {
            continue;
        }
        const auto [data, size] = reader.getRecord(record);
        writer.writeRecord(record, data.get(), size);
    }
    writer.writeEndOfFile();
    return bytes;
}

/// Opens the original libraries of operators that the process does not have yet: a second copy
/// beside one that Python has imported would register everything twice.
void open_originals(const std::vector<OperatorCall>& calls) {
    std::set<std::string> missing;
    for (const OperatorCall& call : calls) {
        if (is_replaceable(call.library) && !is_registered(call)) missing.insert(call.library);
    }
    for (const std::string& library : missing) open_original_library(library);
}

/// Throws an Error that names the operators that nothing defines, if there are any.
void check_missing(const std::string& name, const std::vector<OperatorCall>& calls,
                   OperatorSource source) {
    std::set<std::string> missing;
    bool original = false;
    for (const OperatorCall& call : calls) {
        if (call.library == "prim" || call.library == "aten" || is_registered(call)) continue;
        if (source == OperatorSource::native && !our_namespace(call).empty()) continue;
        missing.insert(call.library + "::" + call.name);
        original |= is_replaceable(call.library);
    }
    if (missing.empty()) return;
    const char* remedy = "";
    if (original && source == OperatorSource::native) {
        remedy =
            " The driver has no such operators of torch_scatter or torch_sparse itself: for these, "
            "build it with the original libraries and set KIM_MODEL_OPERATORS=extension.";
    } else if (original) {
        remedy = " The installed torch_scatter and torch_sparse lack some of them.";
    }
    fail<ErrorHere>("model file ", name,
                    " calls operators that torch does not know: ", joined(missing), ".", remedy,
                    " List the libraries that define them in the environment variable ",
                    "KIM_MODEL_TORCH_EXTENSIONS, separated by colons.");
}

/// The devices that code names: `torch.device("cuda:0")`, and `torch.cuda(...)`, which moves a
/// tensor there.
std::vector<std::string> devices_in(const Code& code) {
    std::set<std::string> found;
    const std::string start = "torch.device(\"";
    for (const auto& [record, text] : code) {
        for (auto at = text.find(start); at != std::string::npos; at = text.find(start, at)) {
            at += start.size();
            found.insert(text.substr(at, text.find('"', at) - at));
        }
        if (text.find(" torch.cuda(") != std::string::npos) found.insert("cuda");
    }
    return {found.begin(), found.end()};
}

/// Throws an Error that names the missing classes that C++ libraries define (torch::class_), if
/// torch reports one: that class, and the others of its namespace in the code.
void check_classes(const std::string& name, const Code& code, const std::string& torch_says) {
    const std::string space = "__torch__.torch.classes.";
    const std::string words = "Unknown type name '" + space;
    const auto found = torch_says.find(words);
    if (found == std::string::npos) return;
    const auto start = found + words.size();
    const std::string missed = torch_says.substr(start, torch_says.find('\'', start) - start);
    const std::string library = space + missed.substr(0, missed.find('.') + 1);
    std::set<std::string> classes = {missed};
    for (const auto& [record, text] : code) {
        for (auto at = text.find(library); at != std::string::npos; at = text.find(library, at)) {
            at += space.size();
            auto end = at;
            while (end < text.size() && (std::isalnum(static_cast<unsigned char>(text[end])) != 0 ||
                                         text[end] == '_' || text[end] == '.')) {
                ++end;
            }
            classes.insert(text.substr(at, end - at));
        }
    }
    fail<ErrorHere>(
        "model file ", name, " has objects of classes that a C++ library defines and torch does ",
        "not know: ", joined(classes), ". List that library in the environment variable ",
        "KIM_MODEL_TORCH_EXTENSIONS.");
}

/// Throws an Error if code calls one of torch's own operators in a way that this torch does not
/// know.
void check_own_operators(const std::string& name, std::uint64_t format,
                         const std::string& torch_says) {
    const bool unknown = torch_says.find("Unknown builtin op: aten::") != std::string::npos ||
                         torch_says.find("Unknown builtin op: prim::") != std::string::npos;
    const bool other_arguments =
        torch_says.find("Arguments for call are not valid") != std::string::npos ||
        (torch_says.find("Keyword argument ") != std::string::npos &&
         torch_says.find(" unknown") != std::string::npos);
    if (!unknown && !other_arguments) return;
    auto start = std::min(torch_says.find("aten::"), torch_says.find("prim::"));
    if (start == std::string::npos) return;
    auto end = start + 6;
    while (end < torch_says.size() &&
           (std::isalnum(static_cast<unsigned char>(torch_says[end])) != 0 ||
            torch_says[end] == '_')) {
        ++end;
    }
    fail<ErrorHere>(
        "model file ", name, " calls the operator ", torch_says.substr(start, end - start),
        unknown ? ", which" : " with arguments that", " this process's torch ", torch_version(),
        " does not know: a newer torch saved the file (its format is ", format,
        "; this torch reads formats up to ", caffe2::serialize::kMaxSupportedFileFormatVersion,
        "). Save it with this torch or an older one, or build the driver for the newer one "
        "(`torchml-install driver --torch-root ...`).");
}

}  // namespace

LoadedArchive load_archive(const std::filesystem::path& file) {
    const OperatorSource source = operator_source();
    open_listed_extensions();
    const std::string name = file.filename().string();
    std::unique_ptr<PyTorchStreamReader> reader;
    Code code;
    try {
        reader = std::make_unique<PyTorchStreamReader>(file.string());
        code = read_code(*reader);
        if (code.empty() || !reader->hasRecord("constants.pkl")) {
            const std::string kind = foreign_archive(*reader);
            if (!kind.empty()) fail("model file ", name, " ", kind);
        }
    } catch (const Error&) {
        throw;
    } catch (const std::exception& problem) {  // torch's own message covers everything else
        const std::string newer = newer_format(problem.what());
        if (!newer.empty()) fail<ErrorHere>("model file ", name, " ", newer);
        const std::string kind = foreign_file(file);
        if (!kind.empty()) fail("model file ", name, " ", kind);
        return {torch::jit::load(file.string(), at::kCPU), {}, false};
    }
    open_carried_libraries(*reader, name);
    const std::uint64_t format = reader->version();
    const std::vector<std::string> devices = devices_in(code);
    std::vector<OperatorCall> calls;
    Code redirected;
    for (auto& [record, text] : code) {
        const auto found = find_operator_calls(text);
        calls.insert(calls.end(), found.begin(), found.end());
        if (redirect(text, source)) redirected[record] = text;
    }
    const bool exchanges = std::any_of(calls.begin(), calls.end(), [](const OperatorCall& call) {
        return call.library == "torchml" && call.name == "exchange";
    });
    if (source == OperatorSource::extension) open_originals(calls);
    try {
        if (redirected.empty()) {
            return {torch::jit::load(file.string(), at::kCPU), devices, false};
        }
        auto archive = std::make_shared<MemoryArchive>(
            rewritten(*reader, redirected, std::filesystem::file_size(file)));
        reader.reset();
        return {torch::jit::load(std::move(archive), at::kCPU), devices, exchanges};
    } catch (const std::exception& problem) {
        const std::string said = problem.what();
        if (said.find("Unknown builtin op") != std::string::npos) {
            check_missing(name, calls, source);
        }
        check_classes(name, code, said);
        check_own_operators(name, format, said);
        throw;
    }
}

}  // namespace torchml

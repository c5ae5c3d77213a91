#include "runtime/file_kind.hpp"

#include <caffe2/serialize/versions.h>

#include <algorithm>
#include <fstream>
#include <vector>

#include "runtime/libtorch.hpp"

namespace torchml {

namespace {

const char* const make_torchscript =
    "Convert it to TorchScript in Python (torch.jit.script(model).save(...), or "
    "e3nn.util.jit.script for e3nn models); `torchml-install model inspect FILE` shows how.";

bool begins(const std::string& text, const std::string& start) { return text.rfind(start, 0) == 0; }

bool ends(const std::string& text, const std::string& end) {
    return text.size() >= end.size() &&
           text.compare(text.size() - end.size(), end.size(), end) == 0;
}

std::string text_of(caffe2::serialize::PyTorchStreamReader& reader, const std::string& record) {
    const auto [data, size] = reader.getRecord(record);
    return {static_cast<const char*>(data.get()), size};
}

/// The string that a JSON text gives for a key; "" if it has none. Good enough for versions.
std::string json_string(const std::string& text, const std::string& key) {
    const auto found = text.find("\"" + key + "\"");
    if (found == std::string::npos) return "";
    const auto colon = text.find(':', found);
    const auto start = text.find('"', std::min(colon, text.size()));
    if (start == std::string::npos) return "";
    return text.substr(start + 1, text.find('"', start + 1) - start - 1);
}

/// Whether nequip-compile wrote a compiled package; its model takes other arguments.
bool is_of_nequip(caffe2::serialize::PyTorchStreamReader& reader,
                  const std::vector<std::string>& records) {
    return std::any_of(records.begin(), records.end(), [&](const std::string& record) {
        if (!begins(record, "data/aotinductor/") || !ends(record, "metadata.json")) return false;
        const std::string text = text_of(reader, record);
        return text.find("\"r_max\"") != std::string::npos &&
               text.find("\"type_names\"") != std::string::npos;
    });
}

std::string exported_program(const std::string& json) {
    const std::string version = json_string(json, "torch_version");
    return "was written by torch.export.save" +
           (version.empty() ? "" : " (torch " + version + ")") +
           " and is not compiled yet. Compile it: `torchml-install model compile FILE.pt2 "
           "--elements ... --cutoff ...`.";
}

}  // namespace

std::string foreign_archive(caffe2::serialize::PyTorchStreamReader& reader) {
    const std::vector<std::string> records = reader.getAllRecords();
    const auto has = [&](const std::string& name) {
        return std::find(records.begin(), records.end(), name) != records.end();
    };
    const auto any = [&](const std::string& start, const std::string& end) {
        return std::find_if(records.begin(), records.end(), [&](const std::string& record) {
            return begins(record, start) && ends(record, end);
        });
    };
    if (const auto model = any("models/", ".json"); model != records.end()) {
        return exported_program(text_of(reader, *model));
    }
    if (has("serialized_exported_program.json")) {  // up to torch 2.7
        return exported_program(text_of(reader, "serialized_exported_program.json"));
    }
    if (any("data/aotinductor/", "") != records.end()) {
        if (is_of_nequip(reader, records)) {
            return "is a package that nequip-compile wrote for nequip's own calculators: its model "
                   "takes other arguments than the driver passes. Wrap nequip's model in a module "
                   "that the driver can call (see 'Your own model' in the documentation), and "
                   "compile that module with `torchml-install model compile`.";
        }
        if (has("extra/torchml.txt")) {
            return "is a compiled model, whose name must end in .pt2. Rename it, also in the "
                   "parameter file.";
        }
        return "is an AOTInductor package without a record (extra/torchml.txt) of the arguments "
               "that its model takes and the machine that it needs, so it cannot run safely. "
               "Compile the model with `torchml-install model compile`.";
    }
    if (any("code/", ".py") != records.end()) {
        return has("constants.pkl") ? "is TorchScript, so its name must end in .pt. Rename it, "
                                      "also in the parameter file."
                                    : "";
    }
    if (has("data.pkl")) {
        return std::string(
                   "was written by torch.save: it holds weights or a pickled module, without the "
                   "code that uses them. ") +
               make_torchscript;
    }
    return "";
}

std::string foreign_file(const std::filesystem::path& file) {
    std::ifstream stream(file, std::ios::binary);
    std::string start(64, '\0');
    stream.read(start.data(), static_cast<std::streamsize>(start.size()));
    start.resize(static_cast<std::size_t>(stream.gcount()));
    if (start.size() > 1 && start[0] == '\x80' && start[1] >= 2 && start[1] <= 5) {
        return std::string(
                   "is a Python pickle (an old torch.save): it holds weights or a pickled module, "
                   "without the code that uses them. ") +
               make_torchscript;
    }
    if (begins(start, "version https://git-lfs")) {
        return "is a Git LFS pointer. Fetch the file itself with `git lfs pull`.";
    }
    return "";
}

std::string newer_format(const std::string& torch_says) {
    const std::string words = "Attempted to read a PyTorch file with version ";
    const auto found = torch_says.find(words);
    if (found == std::string::npos ||
        torch_says.find("maximum supported version") == std::string::npos) {
        return "";
    }
    const auto start = found + words.size();
    const std::string format =
        torch_says.substr(start, torch_says.find_first_not_of("0123456789", start) - start);
    return "was saved by a newer torch: its format is " + format + ", and this process's torch " +
           torch_version() + " reads formats up to " +
           std::to_string(caffe2::serialize::kMaxSupportedFileFormatVersion) +
           ". Save it with that torch or an older one, or build the driver for the newer one "
           "(`torchml-install driver --torch-root ...`).";
}

}  // namespace torchml

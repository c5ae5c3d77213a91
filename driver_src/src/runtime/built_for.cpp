#include "runtime/libtorch.hpp"

namespace torchml {

std::string torch_built_for() {
    const std::string version = "torch " TORCHML_LIBTORCH_VERSION;
    const std::string folder = TORCHML_LIBTORCH_FOLDER;
    // In a package that can be moved, the folder is just $ORIGIN/...
    return folder.rfind('/', 0) == 0 ? version + " in " + folder : version;
}

}  // namespace torchml

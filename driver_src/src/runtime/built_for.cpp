#include "runtime/libtorch.hpp"

namespace torchml {

std::string torch_built_for() {
    const std::string version = "torch " TORCHML_LIBTORCH_VERSION;
    const std::string folder = TORCHML_LIBTORCH_FOLDER;
    // Of a package that is moved it is no more than $ORIGIN/...
    return folder.rfind('/', 0) == 0 ? version + " in " + folder : version;
}

}  // namespace torchml

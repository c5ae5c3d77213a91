# What find_package(Torch) finds, instead of torch's own configuration, when torch_scatter and
# torch_sparse are built for the driver. torch's own demands a CUDA toolkit wherever torch is a CUDA
# build; these libraries are built without CUDA code and need libtorch's CPU library alone.
#
# TORCHML_FIND_LIBTORCH: the driver's FindLibtorch.cmake.

include("${TORCHML_FIND_LIBTORCH}")

# The projects set 14, which recent headers do not accept; they set it before they look for torch.
set(CMAKE_CXX_STANDARD "${Libtorch_CXX_STANDARD}")

set(TORCH_LIBRARIES libtorch::libtorch)
set(TORCH_FOUND TRUE)
set(Torch_FOUND TRUE)

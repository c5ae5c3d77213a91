#pragma once

#include <memory>
#include <string>
#include <vector>

namespace torchml::libdescriptor {

/// The descriptor that an object computes, with libdescriptor's numbers.
enum class Kind : int { symmetry_functions = 0, bispectrum = 1, soap = 2 };

/// libdescriptor's class Descriptor::DescriptorKind: the order of its virtual functions and its
/// members up to the width.
class DescriptorKind {
  public:
    virtual void compute(int index, int n_atoms, int* species, int* neighbours, int n_neighbours,
                         double* coordinates, double* descriptor) = 0;
    virtual ~DescriptorKind() = default;

    Kind kind;
    std::string file_name;
    int width;
};

/// The functions of libdescriptor that the driver calls.
struct Functions {
    using Strings = std::vector<std::string>;

    DescriptorKind* (*make_symmetry_functions)(Kind kind, Strings* species, std::string* cutoff,
                                               double* cutoffs, Strings* functions,
                                               std::vector<int>* sizes,
                                               std::vector<double>* parameters);
    DescriptorKind* (*make_bispectrum)(Kind kind, double rfac0, int twojmax, int diagonal_style,
                                       int use_shared_arrays, double rmin0, int switch_flag,
                                       int bzero_flag, double* cutoffs, Strings* species,
                                       std::vector<double>* weights);
    DescriptorKind* (*make_soap)(Kind kind, int n_max, int l_max, double cutoff, Strings& species,
                                 std::string radial_basis, double eta);
    /// Members of the classes SymmetryFunctions and Bispectrum; cutoffs (n_species, n_species).
    void (*set_symmetry_cutoffs)(DescriptorKind* self, const char* cutoff, std::size_t n_species,
                                 const double* cutoffs);
    void (*set_bispectrum_cutoffs)(DescriptorKind* self, const char* cutoff, std::size_t n_species,
                                   const double* cutoffs);
    /// Adds to `descriptor`.
    void (*compute)(int index, int n_atoms, int* species, int* neighbours, int n_neighbours,
                    double* coordinates, double* descriptor, DescriptorKind* kind);
    /// Adds to `d_coordinates`; overwrites `descriptor` and `weights`.
    void (*gradient)(int index, int n_atoms, int* species, int* neighbours, int n_neighbours,
                     double* coordinates, double* d_coordinates, double* descriptor,
                     double* weights, DescriptorKind* kind);
};

/// The functions of the library that LIBDESCRIPTOR_ROOT or the build names; it stays open. The
/// first call for a library opens it and compares its classes with the declarations above. Throws
/// Error if the library is missing, cannot be opened or differs from version 0.2.3.
const Functions& functions();

/// The path of the library that functions() opens. Throws Error if there is none.
std::string library_path();

}  // namespace torchml::libdescriptor

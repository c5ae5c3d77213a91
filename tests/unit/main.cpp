// The program's main function; `torchml_unit_tests --help` lists its options.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

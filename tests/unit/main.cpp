// The program's main function: `torchml_unit_tests --help` says what it can be asked for.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

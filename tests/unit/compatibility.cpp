// The description in a compiled model (.pt2) decides whether it runs here.

#include "runtime/compiled/compatibility.hpp"

#include <clocale>
#include <vector>

#include "support.hpp"

namespace {

using namespace torchml;
using namespace torchml::tests;

std::string description(const std::string& device, const std::string& capability = "") {
    return "torchml-package 1\n"
           "torch 2.13.0\n"
           "device " +
           device +
           "\n"
           "machine x86_64\n"
           "instructions avx2 fma\n" +
           capability +
           "argument descriptor float64 * 51\n"
           "gradient descriptor\n"
           "entry energies_and_gradient\n";
}

const std::string on_cpu = description("cpu");

std::string on_gpu(const std::string& capability) {
    return description("cuda", "capability " + capability + "\n");
}

Machine cpu() { return {"2.13.0", "cpu", "x86_64", {"avx", "avx2", "fma"}, ""}; }

Machine gpu(const std::string& capability) {
    Machine machine = cpu();
    machine.device = "cuda";
    machine.capability = capability;
    return machine;
}

void require(const std::string& text, const Machine& machine = cpu()) {
    require_compatible("model.pt2", parse_description(text, "model.pt2"), machine);
}

std::string refused(const std::string& text, const Machine& machine = cpu()) {
    return refusal([&] { require(text, machine); });
}

std::string replaced(std::string text, const std::string& old, const std::string& by) {
    const auto place = text.find(old);
    REQUIRE(place != std::string::npos);
    return text.replace(place, old.size(), by);
}

}  // namespace

TEST_CASE("a model runs with every release of its series of torch") {
    for (const char* torch : {"2.13.0", "2.13.1", "2.13.99"}) {
        CAPTURE(torch);
        Machine machine = cpu();
        machine.torch = torch;
        CHECK_NOTHROW(require(on_cpu, machine));
    }
}

TEST_CASE("another series of torch is refused") {
    for (const std::string torch : {"2.12.0", "2.14.0", "2.1.3", "3.13.0"}) {
        Machine machine = cpu();
        machine.torch = torch;
        const std::string message = refused(on_cpu, machine);
        CHECK_CONTAINS(message, "compiled for torch 2.13, but this process runs torch " + torch);
        CHECK_CONTAINS(message, "torchml-install model compile");
    }
}

TEST_CASE("another kind of device is refused in both directions") {
    CHECK_CONTAINS(refused(on_cpu, gpu("9.0")),
                   "compiled for the device cpu, but would run on cuda");
    const std::string message = refused(on_gpu("9.0"));
    CHECK_CONTAINS(message, "compiled for the device cuda, but would run on cpu");
    CHECK_CONTAINS(message, "KIM_MODEL_EXECUTION_DEVICE=cuda");
}

TEST_CASE("another kind of CPU is refused") {
    Machine machine = cpu();
    machine.processor = "aarch64";
    CHECK_CONTAINS(refused(on_cpu, machine), "compiled for x86_64 CPUs; this machine has aarch64");
}

TEST_CASE("missing instructions are named") {
    Machine machine = cpu();
    machine.instructions = {"avx", "sse2"};
    const std::string message = refused(on_cpu, machine);
    CHECK_CONTAINS(message, "this one lacks: avx2, fma.");
    CHECK_CONTAINS(message, "--cpu x86-64-v3` (without AVX-512)");
    machine.instructions.clear();  // unknown if the system does not list them
    CHECK_NOTHROW(require(on_cpu, machine));
}

TEST_CASE("GPUs of the same major capability run what older ones run") {
    const std::vector<std::pair<const char*, const char*>> cases = {
        {"9.0", "9.0"}, {"8.0", "8.6"}, {"8.0", "8.9"}, {"12.0", "12.1"}, {"9.0", ""}};
    for (const auto& [compiled, present] : cases) {
        CAPTURE(compiled);
        CAPTURE(present);
        CHECK_NOTHROW(require(on_gpu(compiled), gpu(present)));
    }
}

TEST_CASE("other GPUs are refused") {
    const std::vector<std::pair<std::string, std::string>> cases = {
        {"9.0", "8.0"}, {"8.0", "9.0"}, {"8.6", "8.0"}, {"12.1", "12.0"}, {"1.2", "12.0"}};
    for (const auto& [compiled, present] : cases) {
        const std::string message = refused(on_gpu(compiled), gpu(present));
        CHECK_CONTAINS(message, "for GPUs of compute capability " + compiled + "; this GPU has " +
                                    present + ".");
        CHECK_CONTAINS(message, "torchml-install model compile --device cuda");
    }
}

TEST_CASE("an invalid description is refused") {
    const std::vector<std::pair<const char*, const char*>> cases = {
        {"torchml-package 1", "torchml-package 2"},
        {"torchml-package 1", "torchml-package 4"},
        {"argument descriptor float64 * 51\n", ""},
        {"gradient descriptor\n", ""},
        {"entry energies_and_gradient", "entry energies"},
        {"float64", "complex64"},
        {"* 51", "* 5x"},
        {"* 51", "* -5"},
        {"* 51", "* 99999999999999999999"},
        {"entry", "file a.so 12 zz\nentry"},
        {"entry", "file a.so 12\nentry"},
        {"entry", "file a.so -1 00\nentry"},
        {"entry", "file a.so 1.5 00\nentry"}};
    for (const auto& [line, instead] : cases) {
        CAPTURE(instead);
        const std::string message = refused(replaced(on_cpu, line, instead));
        CHECK_CONTAINS(message, "package model.pt2 ");
        CHECK_CONTAINS(message, "torchml-install model compile");
    }
}

TEST_CASE("steps of a compiled model run on the CPU only") {
    const std::string steps =
        R"(step energies_and_gradient {"part": "a", "block": 64, )"
        R"("inputs": [{"value": 0, "rows": true}], "outputs": [{"value": 1, "rows": true}]})"
        "\n"
        R"(step energies_and_gradient {"return": [1]})"
        "\n";
    CHECK_NOTHROW(require(on_cpu + steps));
    CHECK_CONTAINS(refused(on_gpu("9.0") + steps, gpu("9.0")),
                   "is for the device cuda, but has steps");
}

TEST_CASE("a program's locale changes nothing in a description") {
    const std::string before = std::setlocale(LC_ALL, nullptr);
    for (const char* name : {"de_DE.UTF-8", "fr_FR.UTF-8", "C"}) {
        if (std::setlocale(LC_ALL, name) == nullptr) continue;
        CHECK_NOTHROW(require(replaced(on_cpu, "* 51", "* 1234567")));
    }
    std::setlocale(LC_ALL, before.c_str());
}

#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <string>

namespace torchml {

/// The parts of a step, in the order of one evaluation.
enum class Stage { inputs, copies, forward, backward, outputs };

/// Measures where the time of a potential's steps goes, if the environment variable
/// KIM_MODEL_PROFILE is on (see switch_variable). Prints a table to standard error when it is
/// destroyed or the process ends, since not every simulator destroys its models; a forked process
/// prints only its own steps.
class Profile {
  public:
    Profile();
    ~Profile();
    Profile(const Profile&) = delete;
    Profile& operator=(const Profile&) = delete;

    /// Measures a stage while it lives.
    class Measure {
      public:
        Measure(Profile& profile, Stage stage) : profile_(profile), stage_(stage) {
            if (profile_.on_) start_ = Clock::now();
        }
        ~Measure() {
            if (profile_.on_) profile_.add(stage_, Clock::now() - start_);
        }
        Measure(const Measure&) = delete;
        Measure& operator=(const Measure&) = delete;

      private:
        Profile& profile_;
        Stage stage_;
        std::chrono::steady_clock::time_point start_;
    };

    /// Whether anything is measured; the caller must then wait for work that is queued on a device.
    bool on() const { return on_; }

    /// Call this if forward computes the gradient, too, so that its time covers both.
    void gradient_in_forward() { gradient_in_forward_ = true; }

    /// The facts of one step besides its times.
    struct Step {
        std::int64_t n_particles = 0;
        std::int64_t n_contributing = 0;
        int n_threads = 1;
        std::size_t tensor_bytes = 0;  ///< of all the tensors that the step made
        std::string graph;             ///< how it was made, and how large it is; "" without one
    };

    void count_step(const Step& step);

    /// Writes the table, once.
    void print();

  private:
    std::string table() const;

    using Clock = std::chrono::steady_clock;
    static constexpr std::size_t n_stages = 5;

    void add(Stage stage, Clock::duration time) { times_[static_cast<std::size_t>(stage)] += time; }

    bool on_;
    bool gradient_in_forward_ = false;
    std::array<Clock::duration, n_stages> times_{};
    std::array<Clock::duration, n_stages> first_step_{};  // compiles the model, so kept apart
    int generation_ = 0;                                  // of forks, when the steps were counted
    std::int64_t n_steps_ = 0;
    Step last_step_;
};

}  // namespace torchml

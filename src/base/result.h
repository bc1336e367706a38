// What every call that can fail returns, and the reasons why it may.
#pragma once

#include <concepts>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace penstock {

// The codes are gRPC's, so one table gives each its HTTP status and one its gRPC status.
enum class Code {
  invalid_argument,
  unauthenticated,
  permission_denied,
  not_found,
  already_exists,
  failed_precondition,
  resource_exhausted,
  deadline_exceeded,
  unavailable,
  data_loss,
  internal,
};

struct Violation {
  std::string field;    // the path as the caller wrote it: "stages[2].traffic"
  std::string problem;  // completes "<field> ...": "must be at most 100"
};

struct Error {
  Code code = Code::internal;
  std::string message;  // for the caller: what went wrong and, where we know it, what to do
  std::vector<Violation> violations = {};
};

// A value, or the reason why there is none. Dropping one unread is a compile error.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}
  template <std::convertible_to<T> U>
  Result(U&& value) : state_(std::in_place_index<0>, std::forward<U>(value)) {}

  explicit operator bool() const { return state_.index() == 0; }
  const T& operator*() const { return std::get<0>(state_); }
  T& operator*() { return std::get<0>(state_); }
  const T* operator->() const { return &std::get<0>(state_); }
  T* operator->() { return &std::get<0>(state_); }
  const Error& error() const { return std::get<1>(state_); }
  T take() && { return std::get<0>(std::move(state_)); }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)), ok_(false) {}

  explicit operator bool() const { return ok_; }
  const Error& error() const { return error_; }
  void take() && {}

 private:
  Error error_;
  bool ok_ = true;
};

}  // namespace penstock

// The value of a Result; or return its error from this function. Not for coroutines: there,
// name the result, test it and co_return. Each use has a name of its own, so uses may nest.
#define TRY(...) TRY_NAMED(TRY_JOIN(try_result_, __COUNTER__), __VA_ARGS__)
#define TRY_JOIN(a, b) TRY_JOIN_(a, b)
#define TRY_JOIN_(a, b) a##b
#define TRY_NAMED(name, ...)        \
  __extension__({                   \
    auto name = (__VA_ARGS__);      \
    if (!name) return name.error(); \
    std::move(name).take();         \
  })

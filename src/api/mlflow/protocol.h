// MLflow's REST as its clients speak it: proto3 JSON in and out, and its own shape of errors.
#pragma once

#include <memory>
#include <optional>

#include "api/route.h"

namespace penstock::api::mlflow {

// Whether a path is MLflow's, so that an error on it must have its shape.
bool owns(std::string_view path);
// {"error_code": "...", "message": "..."}. `status` where the code's own does not say it.
Response error_response(const Error& error, int status = 0);

// The fields of a request: body, query and path in one. Unknown fields are left unread, as MLflow
// leaves them; whole numbers may come as texts. A field of another type is invalid_argument.
class Arguments {
 public:
  static Result<Arguments> read(const Request& request);
  explicit Arguments(json::object fields)
      : root_(std::make_shared<const json::object>(std::move(fields))), fields_(root_.get()) {}

  bool has(std::string_view name) const { return find(name) != nullptr; }
  Result<std::string> text(std::string_view name) const;  // required
  Result<std::string> text_or(std::string_view name, std::string_view otherwise) const;
  Result<std::optional<std::int64_t>> whole(std::string_view name) const;
  Result<std::int64_t> whole_or(std::string_view name, std::int64_t otherwise) const;
  // "true" and "True" too, as a query has them.
  Result<bool> flag_or(std::string_view name, bool otherwise) const;
  Result<double> real(
      std::string_view name) const;  // required; "NaN", "Infinity" and "-Infinity" too
  Result<std::vector<std::string>> texts(std::string_view name) const;  // none: empty
  Result<std::vector<Arguments>> objects(std::string_view name) const;  // none: empty
  Result<Arguments> object(std::string_view name) const;                // none: empty
  const json::object& fields() const { return *fields_; }

 private:
  Arguments(std::shared_ptr<const json::object> root, const json::object& fields)
      : root_(std::move(root)), fields_(&fields) {}
  const json::value* find(std::string_view name) const;
  // An object within a request is a look at it: a batch has thousands, and copies cost more than
  // what is done with them.
  std::shared_ptr<const json::object> root_;
  const json::object* fields_;
};

// The field experiment_id, which must be there; empty is 0.
Result<std::int64_t> experiment_of(const Arguments& in);

// Path values and query as they are; a handler gives the answer's body.
using Handler = std::function<Result<json::object>(const Call&, const Arguments&)>;

// `path` after "/mlflow/". Stands below /api/VERSION and, for browsers, /ajax-api/VERSION.
void add(std::vector<Route>& routes, std::string method, const std::string& path,
         std::string summary, Permission permission, Handler handler,
         const std::string& version = "2.0");

}  // namespace penstock::api::mlflow

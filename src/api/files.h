// Files of any length in and out of a request, a megabyte at a time.
#pragma once

#include "api/route.h"
#include "artifacts/files.h"

namespace penstock::api {

// The status of an error about keeping a file: 507 where there is no room.
int file_status(const Error& error);

// Takes the body of a request into `upload`; `finish` then says what it was for.
std::unique_ptr<Intake> intake_of(std::unique_ptr<artifacts::Upload> upload,
                                  std::function<Response(const Call&, artifacts::Upload&)> finish);

// What "Range: bytes=..." asks of a file of `size` bytes.
struct Range {
  enum class Kind { whole, part, unsatisfiable } kind = Kind::whole;
  std::int64_t offset = 0, length = 0;
};
// RFC 9110, 14.2: what cannot be read, and several ranges at once, ask for the whole.
Range range_of(std::string_view header, std::int64_t size);

// The answer to a GET or HEAD of a stored file: 200, 206, 304 or 416. The error is the store's.
Result<Response> file_response(artifacts::Files& files, const Request& request,
                               const std::string& digest, const std::string& content_type);

}  // namespace penstock::api

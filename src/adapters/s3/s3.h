#pragma once

#include <memory>
#include <string>

#include "ports/blob.h"

namespace penstock::s3 {

struct Options {
  std::string bucket, prefix;  // of "s3://bucket/prefix"; the prefix may be empty
  std::string endpoint;        // "http://127.0.0.1:9000", with the bucket in the path; empty: AWS
  std::string region = "us-east-1";
  std::string access_key, secret_key;  // empty: what AWS's own tools would use
  // A folder of the local disk, for files on their way; what is in it is deleted. Empty: the store
  // is only read.
  std::string scratch;
};

// Objects below a prefix of a bucket, through Arrow. An object is there as a whole or not at all:
// it is written to the local disk first, and sent when it is committed.
//
// Loads Arrow's S3 library, which nothing else needs. invalid_argument where the options say
// nothing useful; failed_precondition where there is no such bucket, permission_denied where the
// keys are not taken, unavailable where nobody answers. Later, what is unavailable is tried three
// times.
Result<std::unique_ptr<blob::Objects>> open(const Options& options);

// Before main returns, where S3 may have been used: its threads must be gone before its statics
// are, or half of all ends are a segmentation fault. Every store must be gone, and none is opened
// after.
void end();

// "s3://bucket/prefix" into bucket and prefix; invalid_argument.
Result<void> read_uri(const std::string& uri, Options& options);

// A URL that GETs `key` of the bucket until `seconds` after `now`: AWS Signature Version 4, in the
// query. Only with keys of our own.
std::string presigned_get(const Options& options, const std::string& key, Timestamp now,
                          std::chrono::seconds time);

}  // namespace penstock::s3

// The rows of sources as they stand: where they are, what columns they have, and their digest.
#pragma once

#include <functional>
#include <map>
#include <mutex>

#include "catalog/message_rows.h"
#include "catalog/objects.h"
#include "catalog/source.h"
#include "ports/messages.h"
#include "ports/olap.h"
#include "ports/tables.h"

namespace penstock::catalog {

// The brokers as the connection of that name knows them.
using OpenTopics =
    std::function<Result<std::shared_ptr<messages::Reader>>(const std::string& connection)>;

struct Options {
  std::string data_directory;          // what relative paths of sources start from
  std::string scratch = {};            // for copies of what lies elsewhere; empty: none
  tables::Reader* postgres = nullptr;  // none: no PostgreSQL tables
  // What "${ENV:NAME}" and "file:PATH" stand for; none: only plain connections.
  std::function<Result<std::string>(const std::string&)> secret = {};
  std::int64_t copy_bytes_max = std::int64_t{16} << 30;  // of one source
  OpenBucket bucket = {};                                // none: no S3
  std::vector<std::string> buckets_of = {};              // the names of S3 connections
  Together together = {};                                // none: objects one after the other
  OpenTopics topics = {};                                // none: no Kafka
  std::map<std::string, std::string> brokers = {};       // by the names of Kafka connections
};

// What its place says of a source.
struct Extent {
  std::int64_t bytes = 0, files = 0;
  Timestamp changed;  // the newest of its files, or when a table was copied
};

// For many threads at once.
class Snapshots {
 public:
  Snapshots(olap::Engine& olap, const Clock& clock, Options options)
      : olap_(olap),
        clock_(clock),
        options_(std::move(options)),
        objects_(clock, {.open = options_.bucket,
                         .folder = options_.scratch + "/objects",
                         .bytes_max = options_.copy_bytes_max,
                         .together = options_.together}) {}

  // The absolute path of a file or directory; invalid_argument for ".." and patterns.
  Result<std::string> local_path(const std::string& path) const;
  // What the declaration says of its place, apart from whether it is there. Fields are Source's.
  std::vector<Violation> place_faults(const Source& source) const;
  // Asks other machines for what columns() needs, so that it need not while it holds a transaction.
  // Faults are left for columns() to tell.
  void prepare(const Source& source);
  // The keys below an s3:// path.
  Result<std::vector<std::string>> keys(const Source& source) { return objects_.keys(source); }
  const std::vector<std::string>& bucket_connections() const { return options_.buckets_of; }
  // The columns as they are there; of what is copied for it, as some of it shows unless `whole`. A
  // fault of the place is not_found or invalid_argument with its field.
  Result<std::vector<tables::Column>> columns(olap::Session& session, const Source& source,
                                              bool whole = false);
  Result<tables::Table> describe_table(const PostgresTable& place);
  // What the newest messages of a topic show.
  Result<MessageRows> sample(const Source& source);
  // Messages of a topic that are no rows of it.
  Result<Rejects> rejects(const Source& source);
  // Where a topic's brokers are; empty where nobody says it.
  std::string brokers_of(const std::string& connection) const;
  const std::map<std::string, std::string>& topic_connections() const { return options_.brokers; }
  // The rows, as FROM takes them. A table of another system is copied for it, at most once a
  // minute.
  Result<std::string> scan(const Source& source);
  // Makes each source a temporary view of its declared columns in their declared types. Gives the
  // digest of what each view reads, in the same order; none for files that are read where they are.
  Result<std::vector<std::optional<std::string>>> bind(olap::Session& session,
                                                       const std::vector<Source>& sources);
  // SHA-256 of the bytes, hex; of a directory, of the names and digests of its files.
  Result<std::string> digest(const Source& source);
  Result<Extent> extent(const Source& source);

 private:
  struct Known {
    std::uintmax_t size = 0;
    std::int64_t changed = 0;
    std::string digest;
  };
  struct Copy {
    std::string path, digest;
    Timestamp at;
    std::string before;  // the copy that this one replaced: views may still read it
    // Of a topic:
    Rejects rejects;
    std::optional<Timestamp> newest;
    std::vector<tables::Column> found;
  };
  struct Sample {
    Timestamp at;
    Result<MessageRows> rows;
  };

  struct Bound {
    std::string from;
    std::optional<std::string> digest;
  };

  Result<std::vector<SourceFile>> local_files(const Source& source) const;
  Result<std::vector<SourceFile>> files(const Source& source, Micros age_max);
  Result<std::string> file_digest(const SourceFile& file);
  Result<std::string> files_digest(const std::vector<SourceFile>& files);
  Result<Bound> bound(const Source& source);
  Result<std::string> connection_of(const PostgresTable& place) const;
  Result<Copy> copied(const Source& source, Micros age_max);
  Result<Copy> copy(const Source& source);
  Result<std::vector<tables::Column>> write_table(const Source& source, const std::string& csv,
                                                  Copy& out);
  Result<std::vector<tables::Column>> write_topic(const Source& source, const std::string& csv,
                                                  Copy& out, std::string& offsets);
  Result<MessageRows> read_newest(const Source& source);

  olap::Engine& olap_;
  const Clock& clock_;
  const Options options_;
  ObjectCopies objects_;
  std::mutex turn_, copying_;
  std::map<std::string, Known> known_;     // by path
  std::map<std::string, Copy> copies_;     // by place and columns
  std::map<std::string, Sample> samples_;  // by place
};

// What the place holds that is not as declared: a column that is missing, undeclared, or of another
// type. The fields are Source's.
std::vector<Violation> drift(const Source& source, const std::vector<tables::Column>& found);

ColumnType type_of(olap::Type type);
ColumnType type_of(const olap::Column& column);  // lists too
// SHA-256 of a file's bytes, hex.
Result<std::string> digest_of_file(const std::string& path);

}  // namespace penstock::catalog

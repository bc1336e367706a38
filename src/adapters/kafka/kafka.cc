#include "adapters/kafka/kafka.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <map>
#include <mutex>
#include <librdkafka/rdkafka.h>

namespace penstock::kafka {
namespace {

using messages::Message;
using messages::Range;

// How often a wait looks whether its time is over.
constexpr int wait_step = 100;  // milliseconds
constexpr std::size_t batch = 1'000;
constexpr Micros connect_time = std::chrono::seconds(5);
constexpr Micros silence_max = std::chrono::seconds(60);  // of a broker, while it is read
// Fetched ahead, of all partitions together.
constexpr const char* queued_kilobytes = "16384";

template <class T, void (*destroy)(T*)>
struct Destroy {
  void operator()(T* one) const { destroy(one); }
};
template <class T, void (*destroy)(T*)>
using Owned = std::unique_ptr<T, Destroy<T, destroy>>;

using Handle = Owned<rd_kafka_t, rd_kafka_destroy>;
using Topic = Owned<rd_kafka_topic_t, rd_kafka_topic_destroy>;
using Queue = Owned<rd_kafka_queue_t, rd_kafka_queue_destroy>;
using Partitions = Owned<rd_kafka_topic_partition_list_t, rd_kafka_topic_partition_list_destroy>;
using Configuration = Owned<rd_kafka_conf_t, rd_kafka_conf_destroy>;
struct DestroyMetadata {
  void operator()(const rd_kafka_metadata_t* one) const { rd_kafka_metadata_destroy(one); }
};
using Metadata = std::unique_ptr<const rd_kafka_metadata_t, DestroyMetadata>;

class Deadline {
 public:
  explicit Deadline(Micros limit) : end_(std::chrono::steady_clock::now() + limit) {}
  bool over() const { return std::chrono::steady_clock::now() >= end_; }
  int left(int most) const {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        end_ - std::chrono::steady_clock::now());
    return static_cast<int>(std::clamp<std::int64_t>(left.count(), 1, most));
  }

 private:
  std::chrono::steady_clock::time_point end_;
};

// What librdkafka found out by itself, on its own threads: why no broker can be had.
struct Trouble {
  std::mutex turn;
  rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
  std::string text;
  bool all_down = false;
};

// Asking again would not help.
bool is_final(rd_kafka_resp_err_t code) {
  return code == RD_KAFKA_RESP_ERR__AUTHENTICATION || code == RD_KAFKA_RESP_ERR__SSL;
}

void hear(rd_kafka_t*, int code, const char* reason, void* opaque) {
  auto& trouble = *static_cast<Trouble*>(opaque);
  const auto heard = static_cast<rd_kafka_resp_err_t>(code);
  const std::lock_guard hold(trouble.turn);
  // That all brokers are down follows from what was heard before it.
  if (heard == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
    trouble.all_down = true;
    if (!trouble.text.empty()) return;
  }
  if (is_final(trouble.code)) return;
  trouble.code = heard;
  trouble.text = reason;
}
void ignore_log(const rd_kafka_t*, int, const char*, const char*) {}

// One conversation with the cluster.
class Client {
 public:
  static Result<std::unique_ptr<Client>> open(const Options& options) {
    auto client = std::make_unique<Client>();
    Configuration configuration(rd_kafka_conf_new());
    const bool named = !options.user.empty();
    const std::string protocol =
        std::string(named ? "sasl_" : "") + (options.tls ? "ssl" : "plaintext");
    std::vector<std::pair<std::string, std::string>> settings = {
        {"bootstrap.servers", options.brokers},
        {"security.protocol", protocol},
        {"client.id", "penstock"},
        {"isolation.level", "read_committed"},
        {"enable.partition.eof", "true"},
        {"check.crcs", "true"},
        {"allow.auto.create.topics", "false"},
        {"queued.max.messages.kbytes", queued_kilobytes},
        {"socket.connection.setup.timeout.ms", "5000"}};
    if (named) {
      settings.emplace_back("sasl.mechanism", options.mechanism);
      settings.emplace_back("sasl.username", options.user);
      settings.emplace_back("sasl.password", options.password);
    }
    if (!options.ca_file.empty()) settings.emplace_back("ssl.ca.location", options.ca_file);
    std::array<char, 512> why{};
    for (const auto& [name, value] : settings)
      if (rd_kafka_conf_set(configuration.get(), name.c_str(), value.c_str(), why.data(),
                            why.size()) != RD_KAFKA_CONF_OK)
        return Error{Code::invalid_argument, "Kafka takes no such " + name};
    rd_kafka_conf_set_opaque(configuration.get(), &client->trouble_);
    rd_kafka_conf_set_error_cb(configuration.get(), hear);
    rd_kafka_conf_set_log_cb(configuration.get(), ignore_log);
    client->handle_.reset(
        rd_kafka_new(RD_KAFKA_CONSUMER, configuration.get(), why.data(), why.size()));
    if (!client->handle_)
      return Error{Code::invalid_argument, std::string("no Kafka client: ") + why.data()};
    static_cast<void>(configuration.release());  // the handle's now
    return client;
  }

  rd_kafka_t* get() const { return handle_.get(); }

  // Whether there is no use in waiting longer: nobody takes us, or nobody was there for a while.
  bool hopeless(bool long_enough) {
    rd_kafka_poll(handle_.get(), 0);
    const std::lock_guard hold(trouble_.turn);
    return is_final(trouble_.code) || (trouble_.all_down && long_enough);
  }

  // Why something did not come: what was heard of the brokers says more than that it did not.
  Error fault(rd_kafka_resp_err_t code) {
    rd_kafka_poll(handle_.get(), 0);
    const std::lock_guard hold(trouble_.turn);
    std::string text = rd_kafka_err2str(code);
    if (!trouble_.text.empty()) text += " (" + trouble_.text + ")";
    const auto is = [&](rd_kafka_resp_err_t asked) {
      return code == asked || trouble_.code == asked;
    };
    if (is(RD_KAFKA_RESP_ERR__AUTHENTICATION) || is(RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED) ||
        is(RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED) || is(RD_KAFKA_RESP_ERR__SSL))
      return {Code::permission_denied, "the broker does not take who we are: " + text};
    if (is(RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) || is(RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC) ||
        is(RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION))
      return {Code::not_found, "there is no such topic"};
    return {Code::unavailable, "the broker does not answer as it should: " + text};
  }

 private:
  Trouble trouble_;
  Handle handle_;  // first to go: its threads tell of trouble
};

std::optional<std::string_view> bytes(const void* from, std::size_t size) {
  if (!from) return {};
  return std::string_view(static_cast<const char*>(from), size);
}

Message message_of(const rd_kafka_message_t& from) {
  Message out{.partition = from.partition,
              .offset = from.offset,
              .key = bytes(from.key, from.key_len),
              .value = bytes(from.payload, from.len)};
  rd_kafka_timestamp_type_t type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
  const std::int64_t at = rd_kafka_message_timestamp(&from, &type);
  if (type != RD_KAFKA_TIMESTAMP_NOT_AVAILABLE && at >= 0)
    out.at = Timestamp(std::chrono::milliseconds(at));
  return out;
}

// Ends with its owner, whatever was read of it.
class Consumption {
 public:
  Consumption(Client& client, rd_kafka_topic_t* topic, const Range& range)
      : topic_(topic), partition_(range.partition), queue_(rd_kafka_queue_new(client.get())) {
    started_ = rd_kafka_consume_start_queue(topic, partition_, range.begin, queue_.get()) == 0;
  }
  Consumption(const Consumption&) = delete;
  ~Consumption() {
    if (started_) rd_kafka_consume_stop(topic_, partition_);
  }
  bool started() const { return started_; }
  rd_kafka_queue_t* queue() const { return queue_.get(); }

 private:
  rd_kafka_topic_t* const topic_;
  const std::int32_t partition_;
  const Queue queue_;
  bool started_ = false;
};

// The messages of one call, given back together.
class Batch {
 public:
  Batch(rd_kafka_queue_t* queue, int wait) : messages_(batch) {
    const ssize_t got = rd_kafka_consume_batch_queue(queue, wait, messages_.data(), batch);
    messages_.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  }
  Batch(const Batch&) = delete;
  ~Batch() {
    for (rd_kafka_message_t* one : messages_) rd_kafka_message_destroy(one);
  }
  const std::vector<rd_kafka_message_t*>& messages() const { return messages_; }

 private:
  std::vector<rd_kafka_message_t*> messages_;
};

class Reader final : public messages::Reader {
 public:
  explicit Reader(Options options) : options_(std::move(options)) {}

  Result<std::vector<Range>> ranges(const std::string& name, std::int64_t most,
                                    std::optional<Timestamp> since, Micros time_limit) override {
    const Deadline deadline(time_limit);
    const auto client = TRY(Client::open(options_));
    const Topic topic = TRY(topic_of(*client, name));
    std::vector<Range> out;
    const auto known = TRY(partitions(*client, topic.get(), deadline));
    const auto share = std::max<std::int64_t>(1, most / static_cast<std::int64_t>(known.size()));
    for (const std::int32_t partition : known) {
      std::int64_t low = 0, high = 0;
      const auto asked = rd_kafka_query_watermark_offsets(client->get(), name.c_str(), partition,
                                                          &low, &high, deadline.left(30'000));
      if (asked != RD_KAFKA_RESP_ERR_NO_ERROR) return client->fault(asked);
      out.push_back({partition, std::max(low, high - share), high});
    }
    if (since) TRY(leave_out_older(*client, name, *since, deadline, out));
    return out;
  }

  Result<void> read(const std::string& name, const std::vector<Range>& ranges,
                    const std::function<Result<void>(const Message&)>& visit,
                    Micros time_limit) override {
    const Deadline deadline(time_limit);
    const auto client = TRY(Client::open(options_));
    const Topic topic = TRY(topic_of(*client, name));
    for (const Range& range : ranges)
      if (range.begin < range.end) TRY(read_one(*client, topic.get(), range, visit, deadline));
    return {};
  }

 private:
  static Result<Topic> topic_of(Client& client, const std::string& name) {
    rd_kafka_topic_conf_t* const configuration = rd_kafka_topic_conf_new();
    // An offset that is gone must be said, and never be another one.
    rd_kafka_topic_conf_set(configuration, "auto.offset.reset", "error", nullptr, 0);
    Topic topic(rd_kafka_topic_new(client.get(), name.c_str(), configuration));
    if (!topic) return client.fault(rd_kafka_last_error());
    return topic;
  }

  static Result<std::vector<std::int32_t>> partitions(Client& client, rd_kafka_topic_t* topic,
                                                      const Deadline& deadline) {
    const Deadline patience(connect_time);
    const rd_kafka_metadata_t* raw = nullptr;
    rd_kafka_resp_err_t asked = RD_KAFKA_RESP_ERR_NO_ERROR;
    do {
      asked = rd_kafka_metadata(client.get(), 0, topic, &raw, deadline.left(500));
    } while (asked != RD_KAFKA_RESP_ERR_NO_ERROR && !deadline.over() &&
             !client.hopeless(patience.over()));
    const Metadata metadata(raw);
    if (asked != RD_KAFKA_RESP_ERR_NO_ERROR) return client.fault(asked);
    if (metadata->topic_cnt != 1) return Error{Code::not_found, "there is no such topic"};
    const rd_kafka_metadata_topic_t& found = metadata->topics[0];
    if (found.err != RD_KAFKA_RESP_ERR_NO_ERROR) return client.fault(found.err);
    std::vector<std::int32_t> out;
    for (int i = 0; i < found.partition_cnt; ++i) out.push_back(found.partitions[i].id);
    if (out.empty()) return Error{Code::unavailable, "the topic has no partition yet"};
    std::ranges::sort(out);
    return out;
  }

  static Result<void> leave_out_older(Client& client, const std::string& name, Timestamp since,
                                      const Deadline& deadline, std::vector<Range>& ranges) {
    const std::int64_t at =
        std::chrono::ceil<std::chrono::milliseconds>(since).time_since_epoch().count();
    const Partitions asked(rd_kafka_topic_partition_list_new(static_cast<int>(ranges.size())));
    for (const Range& range : ranges)
      rd_kafka_topic_partition_list_add(asked.get(), name.c_str(), range.partition)->offset = at;
    const auto answered =
        rd_kafka_offsets_for_times(client.get(), asked.get(), deadline.left(30'000));
    if (answered != RD_KAFKA_RESP_ERR_NO_ERROR) return client.fault(answered);
    for (std::size_t i = 0; i < ranges.size(); ++i) {
      const rd_kafka_topic_partition_t& one = asked->elems[i];
      if (one.err != RD_KAFKA_RESP_ERR_NO_ERROR) return client.fault(one.err);
      // None so young: it says the end.
      const std::int64_t begin = one.offset < 0 ? ranges[i].end : one.offset;
      ranges[i].begin = std::clamp(begin, ranges[i].begin, ranges[i].end);
    }
    return {};
  }

  static Result<void> read_one(Client& client, rd_kafka_topic_t* topic, const Range& range,
                               const std::function<Result<void>(const Message&)>& visit,
                               const Deadline& deadline) {
    const Consumption consumption(client, topic, range);
    if (!consumption.started()) return client.fault(rd_kafka_last_error());
    Deadline patience(connect_time), silence(silence_max);
    while (!deadline.over() && !silence.over() && !client.hopeless(patience.over())) {
      const Batch batch_read(consumption.queue(), deadline.left(wait_step));
      if (!batch_read.messages().empty()) {
        patience = Deadline(connect_time);
        silence = Deadline(silence_max);
      }
      for (const rd_kafka_message_t* one : batch_read.messages()) {
        if (one->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
          if (one->offset >= range.end) return {};
          continue;
        }
        if (one->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET ||
            one->err == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE)
          return Error{Code::unavailable,
                       "messages were removed from the topic while it was read; ask again"};
        if (one->err != RD_KAFKA_RESP_ERR_NO_ERROR) return client.fault(one->err);
        if (one->offset >= range.end) return {};
        TRY(visit(message_of(*one)));
        if (one->offset + 1 == range.end) return {};
      }
    }
    return client.fault(RD_KAFKA_RESP_ERR__TIMED_OUT);
  }

  const Options options_;
};

}  // namespace

Result<std::unique_ptr<messages::Reader>> open(const Options& options) {
  if (options.brokers.empty())
    return Error{Code::invalid_argument, "brokers must name at least one host:port"};
  if (options.user.empty() != options.password.empty())
    return Error{Code::invalid_argument, "user and password need each other"};
  if (!options.ca_file.empty() && !options.tls)
    return Error{Code::invalid_argument, "ca_file is for tls: true"};
  TRY(Client::open(options));  // does not reach out: only whether the options can be read
  return std::unique_ptr<messages::Reader>(std::make_unique<Reader>(options));
}

}  // namespace penstock::kafka

#include "tests/support/kafka_server.h"

#include <sys/wait.h>

#include <array>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>
#include <librdkafka/rdkafka.h>

#include "tests/support/processes.h"

namespace penstock::test {
namespace {

namespace fs = std::filesystem;

constexpr auto start_max = std::chrono::seconds(120);
constexpr const char* jars = ".deps/kafka";  // below where ctest runs us
constexpr int wait = 60'000;                 // milliseconds

void run(const std::vector<std::string>& words, const std::string& log) {
  int status = 0;
  waitpid(spawn(words, log), &status, 0);
  if (status != 0) throw std::runtime_error(words[0] + " failed; its log is in " + log);
}

std::vector<std::string> java() {
  std::string path;
  for (const auto& entry : fs::directory_iterator(jars)) path += entry.path().string() + ":";
  return {"setpriv",
          "--pdeathsig",
          "KILL",
          "java",
          "-Xmx256m",
          "-XX:+UseSerialGC",
          "-XX:TieredStopAtLevel=1",
          "-cp",
          path};
}

void check(rd_kafka_resp_err_t code, const std::string& what) {
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
    throw std::runtime_error(what + ": " + rd_kafka_err2str(code));
}
void check(rd_kafka_error_t* error, const std::string& what) {
  if (!error) return;
  const std::string text = rd_kafka_error_string(error);
  rd_kafka_error_destroy(error);
  throw std::runtime_error(what + ": " + text);
}

// A producer, and a client of administrators.
class Producer {
 public:
  explicit Producer(const std::string& brokers, const std::string& transaction = "") {
    rd_kafka_conf_t* const settings = rd_kafka_conf_new();
    const auto set = [&](const char* name, const std::string& value) {
      std::array<char, 256> why{};
      if (rd_kafka_conf_set(settings, name, value.c_str(), why.data(), why.size()) !=
          RD_KAFKA_CONF_OK)
        throw std::runtime_error(why.data());
    };
    set("bootstrap.servers", brokers);
    set("message.max.bytes", "20000000");
    if (!transaction.empty()) set("transactional.id", transaction);
    rd_kafka_conf_set_log_cb(settings, [](const rd_kafka_t*, int, const char*, const char*) {});
    rd_kafka_conf_set_dr_msg_cb(settings, [](rd_kafka_t*, const rd_kafka_message_t* sent, void*) {
      if (sent->err != RD_KAFKA_RESP_ERR_NO_ERROR) failed_ = sent->err;
    });
    handle_ = rd_kafka_new(RD_KAFKA_PRODUCER, settings, nullptr, 0);
    if (!handle_) throw std::runtime_error("no producer");
    failed_ = RD_KAFKA_RESP_ERR_NO_ERROR;
  }
  Producer(const Producer&) = delete;
  ~Producer() { rd_kafka_destroy(handle_); }
  rd_kafka_t* get() const { return handle_; }

  void send(const std::string& topic, int partition, const Sent& sent) {
    const std::string empty;
    const std::string& key = sent.key ? *sent.key : empty;
    const std::string& value = sent.value ? *sent.value : empty;
    const void* const key_data = sent.key ? key.data() : nullptr;
    void* const value_data = sent.value ? const_cast<char*>(value.data()) : nullptr;
    check(rd_kafka_producev(
              handle_, RD_KAFKA_V_TOPIC(topic.c_str()), RD_KAFKA_V_PARTITION(partition),
              RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY(key_data, key.size()),
              RD_KAFKA_V_VALUE(value_data, value.size()), RD_KAFKA_V_TIMESTAMP(sent.at),
              RD_KAFKA_V_END),
          "produce");
    rd_kafka_poll(handle_, 0);
  }
  void flush() {
    check(rd_kafka_flush(handle_, wait), "flush");
    check(failed_, "delivery");
  }

 private:
  static inline rd_kafka_resp_err_t failed_ = RD_KAFKA_RESP_ERR_NO_ERROR;
  rd_kafka_t* handle_ = nullptr;
};

// The answer to one request of an administrator, which must be good.
class Answer {
 public:
  explicit Answer(Producer& client) : queue_(rd_kafka_queue_new(client.get())) {}
  Answer(const Answer&) = delete;
  ~Answer() {
    if (event_) rd_kafka_event_destroy(event_);
    rd_kafka_queue_destroy(queue_);
  }
  rd_kafka_queue_t* queue() const { return queue_; }
  void take(const std::string& what) {
    event_ = rd_kafka_queue_poll(queue_, wait);
    if (!event_) throw std::runtime_error(what + ": no answer");
    check(rd_kafka_event_error(event_), what);
  }

 private:
  rd_kafka_queue_t* queue_;
  rd_kafka_event_t* event_ = nullptr;
};

}  // namespace

bool KafkaServer::is_there() {
  std::error_code absent;
  return fs::is_directory(jars, absent) && std::system("java -version >/dev/null 2>&1") == 0;
}

KafkaServer::KafkaServer() : ports_(free_ports(4)) {
  const std::string key = directory_ / "key.pem", log = directory_ / "log";
  run({"openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
       "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out",
       certificate()},
      log);
  std::ofstream both(directory_ / "both.pem", std::ios::binary);
  for (const std::string& file : {key, certificate()})
    both << std::ifstream(file, std::ios::binary).rdbuf();
  both.close();
  write_settings();
  auto format = java();
  format.insert(format.end(), {"kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qg",
                               "-c", directory_ / "settings"});
  run(format, log);
  start();
}

KafkaServer::~KafkaServer() { stop(); }

void KafkaServer::write_settings() {
  std::ofstream out(directory_ / "settings");
  out << "process.roles=broker,controller\nnode.id=1\n"
      << "controller.quorum.voters=1@" << address(3) << "\n"
      << "listeners=PLAIN://" << address(0) << ",PASSWORD://" << address(1) << ",TLS://"
      << address(2) << ",CONTROLLER://" << address(3) << "\n"
      << "listener.security.protocol.map=PLAIN:PLAINTEXT,PASSWORD:SASL_PLAINTEXT,TLS:SSL,"
         "CONTROLLER:PLAINTEXT\n"
      << "controller.listener.names=CONTROLLER\ninter.broker.listener.name=PLAIN\n"
      << "sasl.enabled.mechanisms=PLAIN\n"
      << "listener.name.password.plain.sasl.jaas.config="
         "org.apache.kafka.common.security.plain.PlainLoginModule required user_"
      << user << "=\"" << password << "\";\n"
      << "ssl.keystore.type=PEM\nssl.keystore.location=" << (directory_ / "both.pem") << "\n"
      << "log.dirs=" << (directory_ / "data") << "\n"
      << "offsets.topic.replication.factor=1\noffsets.topic.num.partitions=1\n"
      << "transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n"
      << "transaction.state.log.num.partitions=1\n"
      << "message.max.bytes=20000000\nauto.create.topics.enable=false\n";
}

void KafkaServer::start() {
  auto words = java();
  words.insert(words.end(), {"kafka.Kafka", directory_ / "settings"});
  process_ = spawn(words, directory_ / "log");
  const auto end = std::chrono::steady_clock::now() + start_max;
  for (std::size_t i = 0; i < 3; ++i)
    while (!listens(ports_[i])) {
      if (waitpid(process_, nullptr, WNOHANG) != 0 || std::chrono::steady_clock::now() > end)
        throw std::runtime_error("Kafka does not listen; its log is in " + (directory_ / "log"));
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
}

void KafkaServer::stop() {
  if (process_ < 0) return;
  ::kill(process_, SIGKILL);
  waitpid(process_, nullptr, 0);
  process_ = -1;
}

void KafkaServer::make_topic(const std::string& name, int partitions) {
  Producer client(plain());
  Answer answer(client);
  rd_kafka_NewTopic_t* topic = rd_kafka_NewTopic_new(name.c_str(), partitions, 1, nullptr, 0);
  rd_kafka_CreateTopics(client.get(), &topic, 1, nullptr, answer.queue());
  answer.take("make_topic");
  rd_kafka_NewTopic_destroy(topic);
  wait_until_led(name, partitions);
}

void KafkaServer::wait_until_led(const std::string& name, int partitions) {
  Producer client(plain());
  const auto end = std::chrono::steady_clock::now() + start_max;
  for (int i = 0; i < partitions; ++i) {
    std::int64_t low = 0, high = 0;
    while (rd_kafka_query_watermark_offsets(client.get(), name.c_str(), i, &low, &high, 5'000) !=
           RD_KAFKA_RESP_ERR_NO_ERROR)
      if (std::chrono::steady_clock::now() > end) throw std::runtime_error(name + " is not led");
  }
}

void KafkaServer::send(const std::string& topic, const std::vector<Sent>& messages, int partition) {
  Producer producer(plain());
  for (const Sent& one : messages) producer.send(topic, partition, one);
  producer.flush();
}

void KafkaServer::send_in_transaction(const std::string& topic, const std::vector<Sent>& messages,
                                      bool commit) {
  Producer producer(plain(), "transaction-of-" + topic);
  check(rd_kafka_init_transactions(producer.get(), wait), "init_transactions");
  check(rd_kafka_begin_transaction(producer.get()), "begin_transaction");
  for (const Sent& one : messages) producer.send(topic, 0, one);
  producer.flush();  // else an abort may drop what was never sent
  check(commit ? rd_kafka_commit_transaction(producer.get(), wait)
               : rd_kafka_abort_transaction(producer.get(), wait),
        "end of the transaction");
}

void KafkaServer::remove_before(const std::string& topic, int partition, std::int64_t offset) {
  Producer client(plain());
  Answer answer(client);
  rd_kafka_topic_partition_list_t* const list = rd_kafka_topic_partition_list_new(1);
  rd_kafka_topic_partition_list_add(list, topic.c_str(), partition)->offset = offset;
  rd_kafka_DeleteRecords_t* request = rd_kafka_DeleteRecords_new(list);
  rd_kafka_topic_partition_list_destroy(list);
  rd_kafka_DeleteRecords(client.get(), &request, 1, nullptr, answer.queue());
  answer.take("remove_before");
  rd_kafka_DeleteRecords_destroy(request);
}

}  // namespace penstock::test

#include "serving/upstream.h"

#include <gtest/gtest.h>

#include "adapters/localfs/localfs.h"
#include "graphs/plan.h"
#include "serving/joins.h"
#include "serving/runtimes.h"
#include "serving/service.h"
#include "tests/unit/serving/world.h"

namespace penstock::serving {
namespace {

using test::must;

const UpstreamOptions options{
    .secrets = {{"vllm", {"sk-very-secret", {"api.example.com", "10.0.0.7:8000"}}},
                {"six", {"sk-six", {"[::1]:9000"}}}},
    .ca_file = "/etc/ca.pem"};

UpstreamDeclaration upstream(const std::string& url, std::optional<std::string> api_key = {},
                             UpstreamProtocol protocol = UpstreamProtocol::openai) {
  return {.name = "u", .owner = "o", .protocol = protocol, .url = url, .api_key = api_key};
}

TEST(Upstream, ReadsAddresses) {
  struct Case {
    std::string url;
    UpstreamProtocol protocol;
    std::string host, port, path;
    bool tls;
  };
  const Case cases[] = {
      {"https://API.example.com/v1", UpstreamProtocol::openai, "api.example.com", "443", "/v1",
       true},
      {"http://10.0.0.7:8000/v1/", UpstreamProtocol::openai, "10.0.0.7", "8000", "/v1", false},
      {"http://[::1]:9000", UpstreamProtocol::kserve, "::1", "9000", "", false},
      {"http://triton", UpstreamProtocol::kserve, "triton", "80", "", false},
      {"grpc://triton:8001", UpstreamProtocol::kserve_grpc, "triton", "8001", "", false},
      {"grpcs://triton", UpstreamProtocol::kserve_grpc, "triton", "443", "", true},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.url);
    const http::Endpoint got = must(endpoint_of("p1", upstream(c.url, {}, c.protocol), options));
    EXPECT_EQ(got.name, "p1/u");
    EXPECT_EQ(got.host, c.host);
    EXPECT_EQ(got.port, c.port);
    EXPECT_EQ(got.base_path, c.path);
    EXPECT_EQ(got.tls, c.tls);
    EXPECT_EQ(got.ca_file, "/etc/ca.pem");
    EXPECT_EQ(got.authorization, "");
  }
}

TEST(Upstream, RefusesAddressesThatCannotBeAndNeverRepeatsWhatMayBeAKey) {
  struct Case {
    std::string url;
    UpstreamProtocol protocol;
    std::string says;
  };
  const Case cases[] = {
      {"ftp://a/sk-hidden", UpstreamProtocol::openai, "https://"},
      {"grpc://sk-hidden:1", UpstreamProtocol::openai, "https://"},
      {"http://sk-hidden:1", UpstreamProtocol::kserve_grpc, "grpc://"},
      {"https://me:sk-hidden@host/v1", UpstreamProtocol::openai, "must not hold a user"},
      {"https://host/v1?key=sk-hidden", UpstreamProtocol::openai, "without query"},
      {"https://host/v1#sk-hidden", UpstreamProtocol::openai, "without query"},
      {"https://host/sk-hidden\r\nx: y", UpstreamProtocol::openai, "must be scheme"},
      {"https://host:sk-hidden/", UpstreamProtocol::openai, "port from 1 to 65535"},
      {"https://host:0/", UpstreamProtocol::openai, "port from 1 to 65535"},
      {"https://host:65536/", UpstreamProtocol::openai, "port from 1 to 65535"},
      {"https:///sk-hidden", UpstreamProtocol::openai, "must name a host"},
      {"https://[::1/sk-hidden", UpstreamProtocol::openai, "must name a host"},
      {"https://ho st/sk-hidden", UpstreamProtocol::openai, "must name a host"},
      {"grpc://host", UpstreamProtocol::kserve_grpc, "port from 1"},
      {"grpc://host:1/sk-hidden", UpstreamProtocol::kserve_grpc, "end after its port"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.url);
    const auto got = endpoint_of("p1", upstream(c.url, {}, c.protocol), options);
    ASSERT_FALSE(got);
    EXPECT_EQ(name_of(got.error().code), name_of(Code::invalid_argument));
    EXPECT_NE(got.error().message.find(c.says), std::string::npos) << got.error().message;
    EXPECT_EQ(got.error().message.find("sk-hidden"), std::string::npos) << got.error().message;
  }
}

TEST(Upstream, LetsASecretGoOnlyWhereItsOwnerSaid) {
  struct Case {
    std::string url, key;
    std::optional<Code> refused;
    std::string says;
  };
  const Case cases[] = {
      {"https://api.example.com/v1", "secret:vllm", {}, ""},
      {"https://api.example.com:8443/v1", "secret:vllm", {}, ""},
      {"http://10.0.0.7:8000", "secret:vllm", {}, ""},
      {"https://10.0.0.7:8000", "secret:vllm", {}, ""},
      {"http://[::1]:9000", "secret:six", {}, ""},
      {"http://api.example.com/v1", "secret:vllm", Code::failed_precondition, "over TLS only"},
      {"http://10.0.0.7:8001", "secret:vllm", Code::failed_precondition, "10.0.0.7:8001"},
      {"https://api.example.com.evil.test", "secret:vllm", Code::failed_precondition, "may not go"},
      {"https://evil.test", "secret:vllm", Code::failed_precondition,
       "may not go to evil.test:443"},
      {"https://api.example.com", "secret:other", Code::failed_precondition, "secrets.other"},
      {"https://api.example.com", "sk-very-secret", Code::invalid_argument, "secret:NAME"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.url + " " + c.key);
    const auto got = endpoint_of("p1", upstream(c.url, c.key), options);
    if (!c.refused) {
      EXPECT_EQ(must(got).authorization.substr(0, 10), "Bearer sk-");
      continue;
    }
    ASSERT_FALSE(got);
    EXPECT_EQ(name_of(got.error().code), name_of(*c.refused));
    EXPECT_NE(got.error().message.find(c.says), std::string::npos) << got.error().message;
    EXPECT_EQ(got.error().message.find("very-secret"), std::string::npos) << got.error().message;
  }
}

TEST(Upstream, BoundsItsTimes) {
  UpstreamDeclaration one = upstream("https://host");
  one.connect_time = Micros(0);
  EXPECT_FALSE(endpoint_of("p1", one, options));
  one.connect_time = std::chrono::seconds(1);
  one.first_byte_time = std::chrono::hours(2);
  EXPECT_FALSE(endpoint_of("p1", one, options));
  one.first_byte_time = std::chrono::hours(1);
  one.health_path = "health";
  EXPECT_FALSE(endpoint_of("p1", one, options));
  one.health_path = "/health";
  EXPECT_TRUE(endpoint_of("p1", one, options));
}

TEST(Upstream, ReadsRemoteModels) {
  const RemoteModel got = must(read_remote("upstream: vllm\nmodel: llama\ngpus: 0.5\n"));
  EXPECT_EQ(got.upstream, "vllm");
  EXPECT_EQ(got.model, "llama");
  EXPECT_EQ(got.gpus, 0.5);
  EXPECT_EQ(got.output_tokens_max, 4'096);
  for (const char* text :
       {"", "upstream: a", "upstream: a\nmodel: b\ngpus: -1", "upstream: a\nmodel: b\ngpus: .nan",
        "upstream: a\nmodel: b\nmore: 1", "- 1", "upstream: a\nmodel: b\noutput_tokens_max: 0",
        "upstream: [", "upstream: a\nmodel: b\n---\nupstream: c\nmodel: d"}) {
    SCOPED_TRACE(text);
    const auto refused = read_remote(text);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().message.find("remote.yaml: "), 0u) << refused.error().message;
  }
}

// A registry over real stores, and what serving makes of its versions.
class RuntimesTest : public ::testing::Test {
 protected:
  RuntimesTest() {
    resources_.add(
        {"model",
         [](sql::Tx&, const Call&, const json::object& in) -> Result<json::object> { return in; },
         {}});
    service_.register_kinds(resources_);
    registry_.check_with(runtime_check_of(artifacts_));
    must(apply({{"kind", "model"}, {"name", "chat"}, {"owner", "o"}}));
    must(apply({{"kind", "upstream"},
                {"name", "vllm"},
                {"owner", "o"},
                {"protocol", "openai"},
                {"url", "https://api.example.com/v1"},
                {"api_key", "secret:vllm"}}));
    must(apply({{"kind", "route"}, {"name", "chat"}, {"owner", "o"}, {"model", "chat"}}));
  }

  Result<resources::ApplyOutput> apply(const json::object& declaration) {
    return resources_.apply(call_, {.documents = {{.declaration = declaration}}});
  }
  std::string artifact(const std::map<std::string, std::string>& files) {
    const std::string folder = directory_ / std::to_string(++folders_);
    for (const auto& [name, text] : files) {
      const std::filesystem::path path = folder + "/" + name;
      std::filesystem::create_directories(path.parent_path());
      std::ofstream(path, std::ios::binary) << text;
    }
    return must(artifacts_.add_local(folder)).uri;
  }
  Result<registry::ModelVersion> enroll(const std::map<std::string, std::string>& files,
                                        std::optional<std::string> runtime = {}) {
    return registry_.register_version(
        call_, {.model_id = "chat", .artifact_uri = artifact(files), .runtime = runtime});
  }
  Result<void> set(const std::vector<Target>& targets) {
    TRY(db_->write(call_, [&](sql::Tx& tx) {
      return service_.set_targets(tx, call_, "chat", targets, "r1");
    }));
    return service_.publish(call_);
  }
  std::shared_ptr<const LiveRoute> live(const Service& service) {
    const auto table = service.table().get();
    const auto found = table->routes.find("p1/chat");
    return found == table->routes.end() ? nullptr : found->second;
  }

  const Call call_ = test::call();
  int folders_ = 0;
  test::TempDir directory_;
  test::World world_{directory_.path()};
  std::unique_ptr<sql::Database> db_ = test::database();
  ManualClock clock_;
  Metrics metrics_;
  resources::Service resources_{*db_, clock_};
  std::unique_ptr<blob::Store> blobs_ = must(localfs::open(directory_ / "store"));
  artifacts::Files files_{*db_, *blobs_, clock_, 1'000'000};
  artifacts::Checkouts checkouts_{files_, clock_, {.folder = directory_ / "copies"}};
  registry::Artifacts artifacts_{files_, checkouts_, *blobs_};
  registry::Signatures signatures_{*db_, artifacts_, clock_};
  registry::Service registry_{*db_, clock_};
  SchemaOpener open_ = [](const Call&, const std::string&) -> Result<OpenSchema> {
    return test::flight_schema();
  };
  Service service_{*db_,
                   world_.log(),
                   world_.runtime(),
                   clock_,
                   metrics_,
                   artifacts_of(artifacts_, signatures_),
                   open_,
                   {.table_path = directory_ / "table.json", .upstreams = options}};
};

const std::string remote_yaml = "upstream: vllm\nmodel: llama-3\ngpus: 2\n";

const std::string graph_yaml =
    "nodes:\n- {name: a, kind: embed, route: r, text: '{{question}}'}\n"
    "messages:\n- {role: system, content: 'Say {{a}}'}\n";

const std::string table_yaml =
    "inputs: [{name: x, datatype: FP64}]\n"
    "nodes: [{name: twice, kind: expression, expression: x * 2}]\n"
    "outputs:\n- {name: score, from: twice}\n";

TEST_F(RuntimesTest, SaysWhatExecutesAnArtifact) {
  struct Case {
    std::string what;
    std::map<std::string, std::string> files;
    std::optional<std::string> said;
    std::string runtime, refused;
  };
  const Case cases[] = {
      {"onnx", {{"model.onnx", "x"}}, {}, "onnx", ""},
      {"onnx of mlflow", {{"model.onnx", "x"}, {"MLmodel", "flavors: {}"}}, {}, "onnx", ""},
      {"its python flavor",
       {{"model.onnx", "x"}, {"MLmodel", "flavors: {}"}},
       "python",
       "python",
       ""},
      {"onnx by flavor",
       {{"m.onnx", "x"}, {"MLmodel", "flavors: {onnx: {data: m.onnx}}"}},
       {},
       "onnx",
       ""},
      {"pyfunc", {{"model.pkl", "x"}, {"MLmodel", "flavors: {sklearn: {}}"}}, {}, "python", ""},
      {"remote", {{"remote.yaml", remote_yaml}}, {}, "openai", ""},
      {"remote beside",
       {{"remote.yaml", remote_yaml}, {"MLmodel", "flavors: {}"}},
       "openai",
       "openai",
       ""},
      {"nothing we know", {{"readme.txt", "x"}}, {}, "", ""},
      {"unknown name",
       {{"model.onnx", "x"}},
       "sklearn",
       "",
       "must be onnx, python, kserve, openai or"},
      {"other runtime", {{"model.onnx", "x"}}, "python", "", "the artifact is for onnx"},
      {"other protocol", {{"remote.yaml", remote_yaml}}, "kserve", "", "is for openai"},
      {"no files for it", {{"readme.txt", "x"}}, "onnx", "", "none of model.onnx"},
      {"unknown upstream",
       {{"remote.yaml", "upstream: gone\nmodel: m"}},
       {},
       "",
       "which is not declared in project p1"},
      {"broken remote", {{"remote.yaml", "upstream: gone"}}, {}, "", "remote.yaml: "},
      {"graph", {{"remote.yaml", remote_yaml}, {"graph.yaml", graph_yaml}}, {}, "openai", ""},
      {"graph of another sort", {{"model.onnx", "x"}, {"graph.yaml", "edges: []"}}, {}, "onnx", ""},
      {"broken graph",
       {{"remote.yaml", remote_yaml}, {"graph.yaml", "nodes: []"}},
       {},
       "",
       "graph.yaml: "},
      {"graph with a circle",
       {{"remote.yaml", remote_yaml},
        {"graph.yaml",
         "nodes: [{name: a, kind: embed, route: r, text: '{{a}}'}]\n"
         "messages: [{role: system, content: x}]"}},
       {},
       "",
       "graph.yaml: nodes.a.name is in a circle"},
      {"graph alone", {{"graph.yaml", graph_yaml}}, {}, "", "needs a remote.yaml"},
      {"graph of tables", {{"graph.yaml", table_yaml}}, {}, "graph", ""},
      {"graph of tables, as another", {{"graph.yaml", table_yaml}}, "onnx", "", "is for graph"},
      {"graph of tables that names nothing",
       {{"graph.yaml", table_yaml + "- {name: other, from: nothing}"}},
       {},
       "",
       "there is no input or node nothing"},
      {"broken MLmodel", {{"MLmodel", "flavors: ["}}, {}, "", "no YAML"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    const registry::Record record{.artifact_uri = artifact(c.files), .runtime = c.said};
    const auto got = must(db_->read(call_, [&](sql::Tx& tx) -> Result<Result<Execution>> {
      return Result<Result<Execution>>(execution_of(tx, call_, artifacts_, record));
    }));
    if (!c.refused.empty()) {
      ASSERT_FALSE(got);
      EXPECT_NE(got.error().message.find(c.refused), std::string::npos) << got.error().message;
      EXPECT_FALSE(enroll(c.files, c.said));
      continue;
    }
    EXPECT_EQ(must(got).runtime, c.runtime);
  }
}

TEST_F(RuntimesTest, SaysTheRuntimeOfRemoteVersionsInTheirRecords) {
  const auto remote = must(enroll({{"remote.yaml", remote_yaml}}));
  EXPECT_EQ(remote.record.runtime, "openai") << "policies ask whether rows leave this program";
  const auto again = must(registry_.register_version(
      call_, {.model_id = "chat-v1", .artifact_uri = remote.record.artifact_uri}));
  EXPECT_EQ(again.version, 1) << "the same words are the same version";
  EXPECT_FALSE(must(enroll({{"model.onnx", "x"}})).record.runtime);
}

TEST_F(RuntimesTest, PublishesRemoteVersionsAndRestoresThemWithoutTheDatabase) {
  must(enroll({{"remote.yaml", remote_yaml}}));
  must(enroll({{"remote.yaml", "upstream: vllm\nmodel: llama-4\n"}, {"graph.yaml", graph_yaml}}));
  must(set({{"chat", 1, 9'000, Arm::live}, {"chat", 2, 1'000, Arm::canary}}));
  const auto route = live(service_);
  ASSERT_TRUE(route);
  ASSERT_EQ(route->targets.size(), 2u);
  const Deployment& first = *route->targets[0].deployment;
  EXPECT_EQ(first.runtime_name, "openai");
  EXPECT_FALSE(first.runtime);
  EXPECT_EQ(first.gpus, 2);
  EXPECT_EQ(first.remote->model.model, "llama-3");
  EXPECT_EQ(first.remote->endpoint->host, "api.example.com");
  EXPECT_EQ(first.remote->endpoint->authorization, "Bearer sk-very-secret");
  EXPECT_FALSE(first.graph);
  ASSERT_TRUE(route->targets[1].deployment->graph);
  EXPECT_EQ(route->targets[1].deployment->graph->declared().messages.at(0).content, "Say {{a}}");

  std::ifstream file(directory_ / "table.json");
  const std::string saved((std::istreambuf_iterator<char>(file)), {});
  EXPECT_NE(saved.find("secret:vllm"), std::string::npos);
  EXPECT_EQ(saved.find("sk-"), std::string::npos) << "the key is in no file of ours";

  const auto empty = test::database();
  Service restarted(*empty, world_.log(), world_.runtime(), clock_, metrics_,
                    artifacts_of(artifacts_, signatures_), open_,
                    {.table_path = directory_ / "table.json", .upstreams = options});
  must(restarted.restore());
  ASSERT_TRUE(live(restarted));
  EXPECT_EQ(live(restarted)->targets[0].deployment->remote->endpoint->authorization,
            "Bearer sk-very-secret");
  EXPECT_TRUE(live(restarted)->targets[1].deployment->graph);

  Service without(*empty, world_.log(), world_.runtime(), clock_, metrics_,
                  artifacts_of(artifacts_, signatures_), open_,
                  {.table_path = directory_ / "table.json"});
  const auto refused = without.restore();
  ASSERT_FALSE(refused) << "the owner took the secret away";
  EXPECT_NE(refused.error().message.find("names no secret of this server"), std::string::npos);
}

TEST_F(RuntimesTest, CallsAChangedUpstreamAtOnceAndKeepsAProtocolThatIsServed) {
  must(enroll({{"remote.yaml", remote_yaml}}));
  must(set({{"chat", 1, 10'000, Arm::live}}));
  const auto before = live(service_)->targets[0].deployment;
  must(service_.publish(call_));
  EXPECT_EQ(live(service_)->targets[0].deployment, before) << "nothing changed";
  json::object changed{{"kind", "upstream"},
                       {"name", "vllm"},
                       {"owner", "o"},
                       {"protocol", "openai"},
                       {"url", "https://api.example.com:8443/v2"},
                       {"api_key", "secret:vllm"}};
  must(apply(changed));
  EXPECT_EQ(live(service_)->targets[0].deployment->remote->endpoint->port, "8443");
  changed["protocol"] = "kserve";
  const auto refused = apply(changed);
  ASSERT_FALSE(refused);
  EXPECT_NE(test::faults_of(refused.error()).find("while route chat serves"), std::string::npos)
      << test::faults_of(refused.error());
  must(set({}));
  EXPECT_TRUE(apply(changed)) << "nothing is served by it";
}

TEST_F(RuntimesTest, RefusesRoutesOfTwoSortsAndTensorsForWords) {
  must(enroll({{"remote.yaml", remote_yaml}}));
  must(enroll({{"model.onnx", test::tiny_model({1, 1}, 0)}}));
  must(set({{"chat", 2, 10'000, Arm::live}}));
  EXPECT_TRUE(world_.gateway.table_number() >= 0);
  const auto mixed = set({{"chat", 2, 9'000, Arm::live}, {"chat", 1, 1'000, Arm::canary}});
  ASSERT_FALSE(mixed);
  EXPECT_NE(mixed.error().message.find("declare a route for each"), std::string::npos);
  EXPECT_TRUE(takes_tensors(*live(service_))) << "it keeps what it served";
  must(set({{"chat", 1, 10'000, Arm::live}}));
  Gateway gateway(service_.table(), world_.telemetry, world_.log(), clock_);
  const auto tensors = gateway.infer(call_, {.route = "chat", .tensors = {{"x", "FP32", {1, 1}}}});
  ASSERT_FALSE(tensors);
  EXPECT_NE(tensors.error().message.find("/v1/chat/completions"), std::string::npos);
}

TEST_F(RuntimesTest, HealsWhatCouldNotBeServed) {
  must(apply({{"kind", "upstream"},
              {"name", "triton"},
              {"owner", "o"},
              {"protocol", "kserve"},
              {"url", "http://triton:8000"}}));
  bool away = true;
  int asked = 0;
  Service service(*db_, world_.log(), world_.runtime(), clock_, metrics_,
                  artifacts_of(artifacts_, signatures_), open_,
                  {.connect = [&](const Remote& remote) -> Result<std::shared_ptr<infer::Model>> {
                    ++asked;
                    EXPECT_EQ(remote.model.model, "scorer");
                    if (away) return Error{Code::unavailable, "triton is away"};
                    return world_.runtime().load(world_.model_file(1));
                  }});
  must(enroll({{"remote.yaml", "upstream: triton\nmodel: scorer\n"}}));
  must(db_->write(call_, [&](sql::Tx& tx) {
    return service.set_targets(tx, call_, "chat", {{"chat", 1, 10'000, Arm::live}}, "r1");
  }));
  ASSERT_FALSE(service.publish(call_));
  EXPECT_FALSE(live(service));
  EXPECT_TRUE(must(service.heal(call_)));
  EXPECT_FALSE(must(service.heal(call_))) << "it waits";
  EXPECT_EQ(asked, 2);
  away = false;
  clock_.advance(std::chrono::seconds(3));
  EXPECT_TRUE(must(service.heal(call_)));
  ASSERT_TRUE(live(service));
  EXPECT_EQ(live(service)->targets[0].deployment->runtime_name, "kserve");
  clock_.advance(std::chrono::hours(1));
  EXPECT_FALSE(must(service.heal(call_))) << "nothing is left to heal";
}

}  // namespace
}  // namespace penstock::serving

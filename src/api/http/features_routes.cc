#include "api/http/features_routes.h"

#include <charconv>

#include "api/files.h"
#include "api/http/feast.h"
#include "base/json.h"
#include "features/entity_rows.h"
#include "features/erasure.h"
#include "features/nearest/neighbours.h"

namespace penstock::api {
namespace {

// Short while the store is near, so it may run on the event loop. A small body is parsed into
// memory of the stack.
Route feast_online_route(features::Service& features) {
  return {.method = "POST",
          .path = "/get-online-features",
          .summary = "Feast: read features online",
          .permission = Permission::read,
          .handle =
              [&features](const Call& call, const Request& request) {
                unsigned char space[16 << 10];
                json::monotonic_resource memory(space);
                boost::system::error_code fault;
                const json::value body =
                    parse_json(request.body, fault, &memory, {.max_depth = 64});
                if (fault || !body.is_object())
                  return problem({Code::invalid_argument, "the body must be a JSON object"});
                auto out = feast_online(features, call, body.get_object());
                return out ? Response{.body = std::move(*out)} : problem(out.error());
              },
          .brief = true};
}

Route feast_push_route(features::Service& features) {
  return {.method = "POST",
          .path = "/push",
          .summary = "Feast: push rows of a view online, offline or both",
          .permission = Permission::write,
          .handle = [&features](const Call& call, const Request& request) {
            const auto value = request_value(request);
            if (!value) return problem(value.error());
            const auto out = feast_push(features, call, value->get_object());
            return out ? json_response(*out) : problem(out.error());
          }};
}

// A stretch of a file of the blob store.
class ResultSource final : public Source {
 public:
  ResultSource(std::unique_ptr<blob::Reader> reader, std::int64_t offset, std::int64_t size)
      : reader_(std::move(reader)), at_(offset), end_(offset + size), size_(size) {}
  std::int64_t size() const override { return size_; }
  Result<std::size_t> read(char* to, std::size_t most) override {
    const auto left = static_cast<std::size_t>(end_ - at_);
    const std::size_t got = TRY(reader_->read(at_, to, std::min(most, left)));
    at_ += static_cast<std::int64_t>(got);
    return got;
  }

 private:
  const std::unique_ptr<blob::Reader> reader_;
  std::int64_t at_;
  const std::int64_t end_, size_;
};

Response historical_result(features::Service& features, const Call& call, const Request& request) {
  auto opened = features.historical_result(call, *request.path_value("digest"));
  if (!opened) return problem(opened.error());
  const std::int64_t size = (*opened)->size();
  Response response{.content_type = "application/vnd.apache.parquet",
                    .headers = {{"ETag", "\"" + *request.path_value("digest") + "\""},
                                {"Accept-Ranges", "bytes"},
                                {"X-Content-Type-Options", "nosniff"}}};
  Range range;
  if (const std::string* asked = request.header("range")) range = range_of(*asked, size);
  if (range.kind == Range::Kind::unsatisfiable) {
    response.status = 416;
    response.headers.emplace_back("Content-Range", "bytes */" + std::to_string(size));
    return response;
  }
  if (range.kind == Range::Kind::whole) {
    range = {Range::Kind::whole, 0, size};
  } else {
    response.status = 206;
    response.headers.emplace_back("Content-Range",
                                  "bytes " + std::to_string(range.offset) + "-" +
                                      std::to_string(range.offset + range.length - 1) + "/" +
                                      std::to_string(size));
  }
  response.source =
      std::make_shared<ResultSource>(std::move(opened).take(), range.offset, range.length);
  return response;
}

Response append_rows(features::Service& features, const Call& call, const Request& request) {
  const std::string* text = request.query_value("offset");
  std::int64_t offset = 0;
  if (text) {
    const auto [end, fault] = std::from_chars(text->data(), text->data() + text->size(), offset);
    if (fault != std::errc{} || end != text->data() + text->size() || offset < 0)
      return problem({Code::invalid_argument,
                      "offset must be a whole number from 0",
                      {{"offset", "must be a whole number from 0"}}});
  }
  const auto out =
      features.entity_uploads().append(call, *request.path_value("upload"), offset, request.body);
  return out ? json_response(encode(*out)) : problem(out.error(), file_status(out.error()));
}

// Rows in, and joins out, for whoever has no disk in common with the server.
std::vector<Route> transfer_routes(features::Service& features) {
  using features::NewRows, features::RowsUpload;
  return {
      route<NewRows, RowsUpload>("POST", "/api/v1/entity-rows",
                                 "Begin to send entity rows for one join", Permission::write,
                                 [&](const Call& call, const NewRows& in) {
                                   return features.entity_uploads().begin(call, in);
                                 }),
      {.method = "PUT",
       .path = "/api/v1/entity-rows/{upload}",
       .summary = "Send the next piece of entity rows, from ?offset= on",
       .permission = Permission::write,
       .handle = [&](const Call& call,
                     const Request& request) { return append_rows(features, call, request); },
       .output_schema = [] { return json::value(schema<RowsUpload>()); }},
      {.method = "GET",
       .path = "/api/v1/historical/{digest}",
       .summary = "Fetch what a join gave, as Parquet",
       .permission = Permission::write,
       .handle =
           [&](const Call& call, const Request& request) {
             return historical_result(features, call, request);
           }},
  };
}

}  // namespace

std::vector<Route> features_routes(features::Service& features) {
  using namespace features;  // NOLINT(google-build-using-namespace): the types of one component
  std::vector<Route> all = transfer_routes(features);
  std::vector<Route> rest{
      route<Empty, ViewList>("GET", "/api/v1/feature-views",
                             "List feature views and how fresh they are", Permission::read,
                             [&](const Call& call, const Empty&) { return features.list(call); }),
      route<MaterializeInput, MaterializeOutput>("POST", "/api/v1/features:materialize",
                                                 "Move what arrived into the online store",
                                                 Permission::write,
                                                 [&](const Call& call, const MaterializeInput& in) {
                                                   return features.materialize(call, in);
                                                 }),
      route<RepairInput, MaterializeOutput>(
          "POST", "/api/v1/features:repair",
          "Write rows anew that the online store lost behind its watermark", Permission::write,
          [&](const Call& call, const RepairInput& in) { return features.repair(call, in); }),
      route<HistoricalInput, HistoricalOutput>("POST", "/api/v1/features:historical",
                                               "Join features as of each row's instant",
                                               Permission::write,
                                               [&](const Call& call, const HistoricalInput& in) {
                                                 return features.historical(call, in);
                                               }),
      route<OnlineInput, OnlineOutput>(
          "POST", "/api/v1/features:online", "Read features as of now, or of an instant",
          Permission::read,
          [&](const Call& call, const OnlineInput& in) { return features.online(call, in); }),
      route<NearestInput, NearestOutput>(
          "POST", "/api/v1/features:nearest", "Find the entities whose embedding is nearest",
          Permission::read,
          [&](const Call& call, const NearestInput& in) { return features.nearest(call, in); }),
      route<PushInput, PushOutput>(
          "POST", "/api/v1/features:push", "Push rows of a view online, offline or both",
          Permission::write,
          [&](const Call& call, const PushInput& in) { return features.push(call, in); }),
      route<VerifyInput, VerifyOutput>(
          "POST", "/api/v1/features:verify", "Compare online values with the offline join",
          Permission::read,
          [&](const Call& call, const VerifyInput& in) { return features.verify(call, in); }),
      route<ViewProfileQuery, ViewProfileOutput>(
          "GET", "/api/v1/feature-views/{view}/profile",
          "What the values of a view look like on one day", Permission::read,
          [&](const Call& call, const ViewProfileQuery& in) { return features.profile(call, in); }),
      route<EraseInput, EraseOutput>(
          "POST", "/api/v1/features:erase",
          "Take entities out of the online store and the offline tables, and keep them out",
          Permission::operate,
          [&](const Call& call, const EraseInput& in) { return features.erase(call, in); }),
      feast_online_route(features),
      feast_push_route(features),
  };
  all.insert(all.end(), std::make_move_iterator(rest.begin()), std::make_move_iterator(rest.end()));
  return all;
}

std::vector<Route> feature_log_routes(serving::FeatureLog& log) {
  return {route<serving::FromPredictions, serving::PredictionDataset>(
      "POST", "/api/v1/features:from-predictions",
      "Make a dataset of the features that predictions were made from", Permission::write,
      [&](const Call& call, const serving::FromPredictions& in) { return log.dataset(call, in); })};
}

}  // namespace penstock::api

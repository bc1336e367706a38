// The steps of one decision, shared by online, shadow, stream and batch, so that all give the same
// score for the same features, bit for bit.
#pragma once

#include "serving/gateway.h"

namespace penstock::serving {

// In the ids of shadows' events: behind that of the call, before the version.
inline constexpr std::string_view shadow_mark = ".shadow.v";

// One id for each row: the request's own or a new ULID, as `<id>.<row>` where it has several rows.
// invalid_argument where the request has no rows, too many, or an id that is too long.
Result<std::vector<std::string>> ids_of(const InferRequest& request, Timestamp now);
// Of a call that has none of its caller's: a new ULID, and the row's number where there are
// several.
std::vector<std::string> own_ids(std::size_t rows, Timestamp now);
// Of a call that failed under its caller's id: of each attempt another one, which begins with it.
std::vector<std::string> failed_ids(const std::string& id, std::size_t rows, Timestamp now);
// As the request was given them, or as its headers say.
std::string_view user_of(const InferRequest& request);
int priority_of(const InferRequest& request);

// [rows, features] in FP32 or FP64; missing is NaN.
infer::Tensor feature_tensor(const std::string& input, std::size_t width,
                             const std::vector<InferenceEvent*>& rows, bool wide = false);
// Whether the model takes each feature as an input of its own, as MLflow's column signatures do.
bool takes_columns(const OpenSchema& features, const infer::Model& model);
// The features as that model takes them. failed_precondition where one is missing and its datatype
// has no word for that.
Result<std::vector<infer::Tensor>> feature_tensors(const OpenSchema& features,
                                                   const infer::Model& model,
                                                   const std::vector<InferenceEvent*>& rows);
// One score a row from the model's output `name`; data_loss where it is not there, has another
// number of rows or is not a number.
Result<std::vector<double>> scores_of(const std::vector<infer::Tensor>& outputs,
                                      const std::string& name, std::size_t rows);

// Runs the target's model on the rows' features, or on `tensors` where the caller gave them, and
// sets each row's score, decision and model_micros. The model's outputs.
Result<std::vector<infer::Tensor>> run_model(const Clock& clock, const LiveRoute& route,
                                             const LiveTarget& target,
                                             const std::vector<infer::Tensor>& tensors,
                                             const std::vector<InferenceEvent*>& rows,
                                             const infer::RunLimits& limits = {});

}  // namespace penstock::serving

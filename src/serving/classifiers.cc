#include "serving/classifiers.h"

#include <algorithm>
#include <cmath>

#include "serving/decide.h"
#include "serving/guarding.h"
#include "serving/service.h"

namespace penstock::serving {
namespace {

using guardrails::GuardrailDeclaration;
using guardrails::Judgement;

std::string urn_of(const Deployment& by) {
  return "model:" + by.model + "@v" + std::to_string(by.version);
}

// By datatype: scores are numbers, labels texts or numbers of classes.
bool can_say(const GuardrailDeclaration& declared, const std::string& name,
             const std::string& datatype) {
  if (declared.output) {
    if (*declared.output != name) return false;
    if (datatype == "INT64") return true;
  }
  if (declared.threshold) return datatype == "FP32" || datatype == "FP64";
  return datatype == "BYTES" || datatype == "INT64";
}

class TextClassifier final : public guardrails::Classifier {
 public:
  TextClassifier(const GuardrailDeclaration& declared, std::shared_ptr<const Deployment> by,
                 const infer::TensorInfo& input, const Clock& clock)
      : declared_(declared),
        by_(std::move(by)),
        input_{.name = input.name,
               .datatype = "BYTES",
               .shape = std::vector<std::int64_t>(std::max<std::size_t>(input.shape.size(), 1), 1)},
        clock_(clock) {}

  // What it takes beyond its time is not the caller's: budgets reserved no more.
  Judgement judge(std::string_view text, Timestamp deadline) const override {
    const Timestamp start = clock_.now();
    if (start >= deadline)
      return {.fault = Error{Code::deadline_exceeded, "the deadline passed before it was asked"}};
    const Micros most =
        std::min(declared_.timeout.value_or(guardrails::timeout_default), deadline - start);
    infer::Tensor asked = input_;
    infer::append_text(text, asked.bytes);
    std::vector<infer::Tensor> inputs;
    inputs.push_back(std::move(asked));
    auto outputs = by_->runtime->run(inputs, {.deadline = start + most});
    Judgement out;
    if (outputs) {
      if (const auto read = understand(*outputs, out); !read) out.fault = read.error();
    } else {
      out.fault = outputs.error();
    }
    out.took = std::clamp(clock_.now() - start, Micros(0), most);
    return out;
  }

 private:
  Result<void> understand(const std::vector<infer::Tensor>& outputs, Judgement& out) const {
    for (const infer::Tensor& tensor : outputs) {
      if (!can_say(declared_, tensor.name, tensor.datatype)) continue;
      if (tensor.datatype == "BYTES") {
        const auto count = infer::elements_of(tensor.shape);
        const auto texts = infer::texts_of(tensor.bytes, count.value_or(0));
        if (!texts || texts->empty())
          return Error{Code::data_loss, urn_of(*by_) + " gave no label"};
        out.label = texts->front();
        return {};
      }
      out.score = TRY(scores_of(outputs, tensor.name, 1)).front();
      if (!declared_.threshold) out.label = std::to_string(std::llround(out.score));
      return {};
    }
    return Error{Code::data_loss, urn_of(*by_) + " gave no output to judge by"};
  }

  const GuardrailDeclaration declared_;
  const std::shared_ptr<const Deployment> by_;
  const infer::Tensor input_;
  const Clock& clock_;
};

}  // namespace

Result<std::shared_ptr<const guardrails::Classifier>> classifier_of(
    const GuardrailDeclaration& declared, std::shared_ptr<const Deployment> by,
    const Clock& clock) {
  const auto unfit = [&](const std::string& why) {
    return Error{Code::failed_precondition,
                 "guardrail " + declared.name + ": " + urn_of(*by) + " " + why};
  };
  if (!by->runtime)
    return unfit("is a language model; a classifier has runtime onnx, python or kserve");
  const infer::TensorInfo* text = nullptr;
  for (const infer::TensorInfo& input : by->runtime->inputs()) {
    if (input.optional) continue;
    if (text || input.datatype != "BYTES")
      return unfit("must take one text: its inputs must be one of datatype BYTES, and it has " +
                   input.name + " of " + input.datatype);
    text = &input;
  }
  if (!text) return unfit("does not say that it takes a text: it has no input of datatype BYTES");
  const auto& outputs = by->runtime->outputs();
  if (!outputs.empty() &&
      std::none_of(outputs.begin(), outputs.end(), [&](const infer::TensorInfo& output) {
        return can_say(declared, output.name, output.datatype);
      })) {
    std::string has;
    for (const infer::TensorInfo& output : outputs)
      has += (has.empty() ? "" : ", ") + output.name + " of " + output.datatype;
    return unfit(std::string("has no output ") + (declared.output ? *declared.output + " " : "") +
                 (declared.threshold ? "that is a score (FP32 or FP64)"
                                     : "that is a label (BYTES or INT64)") +
                 "; it has " + has);
  }
  return std::shared_ptr<const guardrails::Classifier>(
      std::make_shared<const TextClassifier>(declared, std::move(by), *text, clock));
}

void add_nodes(std::vector<NodeUse>& nodes, const LiveRoute& route,
               const std::vector<guardrails::Judged>& judged) {
  for (const guardrails::Judged& one : judged) {
    const auto found = route.classifiers.find(one.guardrail);
    if (found == route.classifiers.end()) continue;
    const Deployment& by = *found->second;
    auto known = std::find_if(nodes.begin(), nodes.end(), [&](const NodeUse& node) {
      return node.name == one.guardrail && node.model == by.model && node.version == by.version;
    });
    if (known == nodes.end())
      known = nodes.insert(nodes.end(), {.name = one.guardrail,
                                         .kind = "guardrail",
                                         .model = by.model,
                                         .version = by.version,
                                         .runtime = by.runtime_name,
                                         .upstream = by.remote ? by.remote->endpoint->name : ""});
    known->calls += one.calls;
    known->micros += one.micros;
    known->faults += one.faults;
    if (by.gpus > 0)
      known->gpu_micros =
          known->gpu_micros.value_or(0) + std::llround(static_cast<double>(one.micros) * by.gpus);
  }
}

Result<StoredTarget> Service::classifier_version(sql::Tx& tx, const Call& call,
                                                 const GuardrailDeclaration& declared) const {
  const auto name = TRY(guardrails::model_name(declared.model));
  StoredTarget out{.project = call.project, .model = name.model, .version = name.version};
  if (name.alias.empty()) return out;
  if (!options_.alias)
    return Error{Code::failed_precondition, "this server knows no aliases of models"};
  out.version = TRY(options_.alias(tx, call, name.model, name.alias));
  return out;
}

Result<void> Service::check_classifier(sql::Tx& tx, const Call& call,
                                       const GuardrailDeclaration& declared) const {
  if (declared.rule != guardrails::What::classifier) return {};
  auto found = [&]() -> Result<void> {
    const StoredTarget target = TRY(classifier_version(tx, call, declared));
    const Artifact artifact = TRY(artifacts_(tx, call, target.model, target.version));
    if (artifact.runtime != "openai") return {};
    return Error{Code::invalid_argument,
                 "it is a language model; a classifier has runtime onnx, python or kserve"};
  }();
  if (found) return {};
  const std::string problem = "is " + declared.model + ": " + found.error().message;
  return Error{found.error().code,
               "guardrail " + declared.name + ": model " + problem,
               {{"model", problem}}};
}

void Service::add_classifiers(sql::Tx& tx, const Call& call, SavedRoute& route) const {
  for (const GuardrailDeclaration& declared : route.guardrails) {
    if (declared.rule != guardrails::What::classifier) continue;
    SavedClassifier& saved = route.classifiers.emplace_back();
    saved.guardrail = declared.name;
    const auto target = classifier_version(tx, call, declared);
    const auto artifact = target ? artifacts_(tx, call, target->model, target->version)
                                 : Result<Artifact>(target.error());
    if (target) saved.target = *target;
    if (artifact)
      saved.artifact = *artifact;
    else
      saved.fault = artifact.error().message;
  }
}

Result<void> Service::add_guards(const SavedRoute& saved, const Tried& tried, LiveRoute& live) {
  if (saved.guardrails.empty()) return {};
  if (live.features.read)
    for (const GuardrailDeclaration& declared : saved.guardrails)
      TRY(check_on_entities(declared, live.features.reference));
  guardrails::Classifiers classifiers;
  for (const SavedClassifier& one : saved.classifiers) {
    const auto declared = std::find_if(
        saved.guardrails.begin(), saved.guardrails.end(),
        [&](const GuardrailDeclaration& other) { return other.name == one.guardrail; });
    if (declared == saved.guardrails.end()) continue;
    const auto fault = [&](const Error& error) {
      return Error{error.code, "guardrail " + one.guardrail + " cannot judge by " +
                                   declared->model + ": " + error.message};
    };
    if (!one.fault.empty()) return fault({Code::failed_precondition, one.fault});
    auto deployment = deploy(one.target, one.artifact, tried);
    if (!deployment) return fault(deployment.error());
    classifiers[one.guardrail] = TRY(classifier_of(*declared, *deployment, clock_));
    live.classifiers[one.guardrail] = std::move(deployment).take();
  }
  live.guards = TRY(guardrails::Chain::make(saved.guardrails, classifiers));
  return {};
}

Result<bool> Service::follow_aliases(const Call& call) {
  std::vector<SavedRoute> served;
  {
    const std::lock_guard lock(publishing_);
    for (const auto& [key, route] : served_)
      if (!route.classifiers.empty()) served.push_back(route);
  }
  if (served.empty()) return false;
  const auto has_moved = [&](sql::Tx& tx, const SavedRoute& route) {
    Call inside = call;
    inside.project = route.project;
    for (const GuardrailDeclaration& declared : route.guardrails) {
      if (declared.rule != guardrails::What::classifier) continue;
      const auto name = guardrails::model_name(declared.model);
      if (!name || name->alias.empty()) continue;
      const auto now = classifier_version(tx, inside, declared);
      for (const SavedClassifier& known : route.classifiers)
        if (now && known.guardrail == declared.name && known.target.version != now->version)
          return true;
    }
    return false;
  };
  const bool moved = TRY(db_.read(call, [&](sql::Tx& tx) -> Result<bool> {
    return std::any_of(served.begin(), served.end(),
                       [&](const SavedRoute& route) { return has_moved(tx, route); });
  }));
  if (moved) TRY(publish(call));
  return moved;
}

}  // namespace penstock::serving

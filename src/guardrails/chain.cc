#include "guardrails/chain.h"

#include <algorithm>

#include "guardrails/pii.h"
#include "guardrails/text_rules.h"

namespace penstock::guardrails {
namespace {

// Enough to tell a language by.
constexpr std::int64_t language_characters = 400;

void add_hit(std::vector<Hit>& hits, const std::string& guardrail, std::string_view what,
             Action action, std::int64_t count = 1) {
  for (Hit& hit : hits)
    if (hit.guardrail == guardrail && hit.what == what && hit.action == action) {
      hit.count += count;
      return;
    }
  hits.push_back({guardrail, std::string(what), action, count});
}

Error wrong(const GuardrailDeclaration& declared, const std::string& field,
            const std::string& problem) {
  return {Code::invalid_argument,
          "guardrail " + declared.name + ": " + field + " " + problem,
          {{field, problem}}};
}

}  // namespace

std::string text_of(const Hit& hit) {
  return hit.guardrail + ":" + hit.what + ":" + std::string(name_of(hit.action));
}

struct Chain::Rule {
  GuardrailDeclaration declared;
  std::unique_ptr<const DenyList> denied;
  std::shared_ptr<const Classifier> classifier;

  bool looks_at(Side side) const { return declared.side == Side::both || declared.side == side; }
  // Whether it finds stretches, which can be masked.
  bool finds() const { return declared.rule == What::pii || declared.rule == What::deny_list; }

  std::vector<Span> find(std::string_view text) const {
    return declared.rule == What::pii ? find_pii(text, declared.tags) : denied->find(text);
  }
  std::size_t open_from(std::string_view text) const {
    return declared.rule == What::pii ? guardrails::open_from(text) : denied->open_from(text);
  }

  bool classifies() const { return declared.rule == What::classifier; }
  Judgement judgement_of(std::string_view text, Timestamp deadline, const MayJudge& may_judge,
                         std::vector<Judged>& judged) const {
    if (may_judge && !may_judge(declared.name)) {
      guardrails::add(judged, {{declared.name, 0, 0, 1}});
      return {.fault = Error{Code::resource_exhausted, "no budget covers it"}, .unpaid = true};
    }
    Judgement found{.fault = Error{Code::unavailable, "it is not loaded"}};
    if (classifier) found = classifier->judge(text, deadline);
    guardrails::add(judged, {{declared.name, 1, found.took.count(), found.fault ? 1 : 0}});
    return found;
  }

  // Appends what of `text` may go on, window by window; takes it from `text`. False: nothing may.
  bool judge(std::string& text, bool last, Timestamp deadline, const MayJudge& may_judge,
             std::string& out, std::vector<Hit>& hits, std::vector<Judged>& judged,
             bool& changed) const {
    const std::int64_t characters = window_of(declared);
    std::size_t at = 0;
    bool passes = true;
    while (passes && at < text.size()) {
      const std::string_view rest = std::string_view(text).substr(at);
      const std::size_t size = window_of(rest, characters, last);
      if (size == 0) break;
      at += size;
      const Judgement found = judgement_of(rest.substr(0, size), deadline, may_judge, judged);
      const Ruling ruling = ruling_of(declared, found, rest.substr(0, size), out);
      if (ruling.hit) add_hit(hits, declared.name, ruling.hit->what, ruling.hit->action);
      changed = changed || ruling.changed;
      passes = ruling.passes;
    }
    text.erase(0, at);
    return passes;
  }

  // What a text as a whole violates, empty where nothing.
  std::string fault_of_whole(std::string_view text) const {
    if (declared.rule == What::size)
      return characters_of(text) > declared.max_characters.value_or(0) ? "size" : "";
    const std::string language = language_of(text);
    const auto& allowed = declared.languages;
    if (language.empty() || std::find(allowed.begin(), allowed.end(), language) != allowed.end())
      return "";
    return "language." + language;
  }

  // Appends `text` as it may go on; false where that is not at all.
  bool pass(std::string_view text, const std::vector<Span>& spans, std::string& out,
            std::vector<Hit>& hits) const {
    std::size_t at = 0;
    for (const Span& span : spans) {
      add_hit(hits, declared.name, span.what, declared.action);
      if (declared.action == Action::block) return false;
      if (declared.action == Action::flag) continue;
      out.append(text.substr(at, span.begin - at)).append("[").append(span.what).append("]");
      at = span.end;
    }
    out.append(text.substr(at));
    return true;
  }
};

Chain::Chain() = default;
Chain::~Chain() = default;

Result<std::shared_ptr<const Chain>> Chain::make(const std::vector<GuardrailDeclaration>& declared,
                                                 const Classifiers& classifiers) {
  std::shared_ptr<Chain> chain(new Chain());
  for (const GuardrailDeclaration& one : declared) {
    auto rule = std::make_unique<Rule>();
    rule->declared = one;
    TRY(check_classifier(one));
    if (const auto found = classifiers.find(one.name); found != classifiers.end())
      rule->classifier = found->second;
    if (one.rule == What::pii)
      for (const std::string& tag : one.tags)
        if (const auto& known = pii_tags();
            std::find(known.begin(), known.end(), tag) == known.end()) {
          std::string names;
          for (const std::string_view name : known)
            names.append(names.empty() ? "" : ", ").append(name);
          return wrong(
              one, "tags",
              "has " + tag + ", which free text is not searched for; known " + "are " + names);
        }
    if (one.rule == What::size && !one.max_characters)
      return wrong(one, "max_characters", "is missing: how long may a text be?");
    if (one.rule == What::language && one.languages.empty())
      return wrong(one, "languages", "is empty: which are allowed? e.g. [en, de]");
    if (one.rule == What::language)
      for (const std::string& code : one.languages)
        if (!is_known_language(code))
          return wrong(one, "languages",
                       "has " + code + ", which is no ISO 639 code that is known");
    if (!rule->finds() && !rule->classifies() && one.action == Action::mask)
      return wrong(one, "action", "must be flag or block: there is nothing to mask");
    if (one.rule == What::deny_list) {
      if (one.phrases.empty() && one.patterns.empty())
        return wrong(one, "phrases", "and patterns are empty: what is denied?");
      rule->denied = std::make_unique<const DenyList>(TRY(DenyList::make(one)));
    }
    chain->rules_.push_back(std::move(rule));
  }
  return std::shared_ptr<const Chain>(std::move(chain));
}

bool Chain::looks_at(Side side) const {
  return std::any_of(rules_.begin(), rules_.end(),
                     [side](const auto& rule) { return rule->looks_at(side); });
}

bool Chain::withholds(Side side) const {
  return std::any_of(rules_.begin(), rules_.end(), [side](const auto& rule) {
    return rule->looks_at(side) && rule->declared.action != Action::flag;
  });
}

bool Chain::asks_models(Side side) const {
  return std::any_of(rules_.begin(), rules_.end(), [side](const auto& rule) {
    return rule->classifies() && rule->looks_at(side);
  });
}

void Chain::add_most(Side side, std::int64_t characters, std::vector<Judged>& most) const {
  for (const auto& rule : rules_) {
    if (!rule->classifies() || !rule->looks_at(side)) continue;
    const GuardrailDeclaration& declared = rule->declared;
    const std::int64_t calls = windows_max(characters, window_of(declared));
    const std::int64_t each = declared.timeout.value_or(timeout_default).count();
    if (calls > 0) guardrails::add(most, {{declared.name, calls, calls * each}});
  }
}

Verdict Chain::check(Side side, std::string_view text, Timestamp deadline,
                     const MayJudge& may_judge) const {
  Verdict verdict;
  verdict.text = text;
  for (const auto& rule : rules_) {
    if (!rule->looks_at(side)) continue;
    if (rule->classifies()) {
      std::string passed;
      verdict.blocked = !rule->judge(verdict.text, true, deadline, may_judge, passed, verdict.hits,
                                     verdict.judged, verdict.changed);
      verdict.text = std::move(passed);
    } else if (!rule->finds()) {
      const std::string fault = rule->fault_of_whole(verdict.text);
      if (fault.empty()) continue;
      add_hit(verdict.hits, rule->declared.name, fault, rule->declared.action);
      verdict.blocked = rule->declared.action == Action::block;
    } else if (const auto spans = rule->find(verdict.text); !spans.empty()) {
      std::string passed;
      verdict.blocked = !rule->pass(verdict.text, spans, passed, verdict.hits);
      verdict.changed = verdict.changed || rule->declared.action == Action::mask;
      verdict.text = std::move(passed);
    }
    if (!verdict.blocked) continue;
    verdict.text.clear();
    return verdict;
  }
  return verdict;
}

// Each rule keeps back its own end of the text and hands the rest to the next.
class Chain::Flow final : public Stream {
 public:
  Flow(const Chain& chain, Side side, Timestamp deadline, MayJudge may_judge)
      : deadline_(deadline), may_judge_(std::move(may_judge)) {
    for (const auto& rule : chain.rules_)
      if (rule->looks_at(side)) stages_.push_back({.rule = rule.get()});
  }

  std::string take(std::string_view piece) override { return flow(piece, false); }
  std::string finish() override { return flow("", true); }
  bool blocked() const override { return blocked_; }
  const std::vector<Hit>& hits() const override { return hits_; }
  const std::vector<Judged>& judged() const override { return judged_; }

 private:
  struct Stage {
    const Rule* rule = nullptr;
    std::string held = {};
    std::int64_t characters = 0;
    bool judged = false;
  };

  std::string flow(std::string_view piece, bool last) {
    std::string text(piece);
    for (Stage& stage : stages_) {
      if (blocked_) return "";
      text = stage.rule->classifies() ? classified(stage, text, last)
             : stage.rule->finds()    ? found(stage, text, last)
                                      : counted(stage, std::move(text), last);
    }
    return blocked_ ? "" : text;
  }

  std::string found(Stage& stage, std::string_view text, bool last) {
    stage.held += text;
    const auto spans = stage.rule->find(stage.held);
    std::size_t open = last ? stage.held.size() : stage.rule->open_from(stage.held);
    for (const Span& span : spans)
      if (span.begin < open && span.end > open) open = span.begin;
    std::vector<Span> closed;
    for (const Span& span : spans)
      if (span.end <= open) closed.push_back(span);
    std::string out;
    blocked_ = !stage.rule->pass(std::string_view(stage.held).substr(0, open), closed, out, hits_);
    stage.held.erase(0, open);
    return out;
  }

  std::string classified(Stage& stage, std::string_view text, bool last) {
    stage.held += text;
    std::string out;
    bool changed = false;
    blocked_ =
        !stage.rule->judge(stage.held, last, deadline_, may_judge_, out, hits_, judged_, changed);
    return out;
  }

  std::string counted(Stage& stage, std::string text, bool last) {
    const GuardrailDeclaration& declared = stage.rule->declared;
    stage.characters += characters_of(text);
    std::string fault;
    if (declared.rule == What::size) {
      if (!stage.judged && stage.characters > declared.max_characters.value_or(0)) fault = "size";
    } else if (!stage.judged) {
      stage.held += text;
      if (last || stage.characters >= language_characters)
        fault = stage.rule->fault_of_whole(stage.held);
    }
    if (last || stage.characters >= language_characters || declared.rule == What::size)
      stage.judged = stage.judged || !fault.empty() || declared.rule == What::language;
    if (fault.empty()) return text;
    add_hit(hits_, declared.name, fault, declared.action);
    blocked_ = declared.action == Action::block;
    return blocked_ ? "" : text;
  }

  const Timestamp deadline_;
  const MayJudge may_judge_;
  std::vector<Stage> stages_;
  std::vector<Hit> hits_;
  std::vector<Judged> judged_;
  bool blocked_ = false;
};

std::unique_ptr<Stream> Chain::stream(Side side, Timestamp deadline, MayJudge may_judge) const {
  return std::make_unique<Flow>(*this, side, deadline, std::move(may_judge));
}

}  // namespace penstock::guardrails

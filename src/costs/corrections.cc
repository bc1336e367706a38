#include "costs/corrections.h"

#include "audit/audit.h"
#include "base/digest.h"
#include "base/id.h"
#include "costs/posting.h"
#include "costs/store.h"

namespace penstock::costs {
namespace {

constexpr std::int64_t lines_max = 10'000;  // of one correction
constexpr std::int64_t page = 5'000;        // of one turn of a reprice

// A correction's lines as they come to be.
struct Rewriting {
  std::vector<LedgerLine> lines;
  Correction made;

  void reverse(const LedgerLine& line) {
    LedgerLine back = line;
    ++back.entry;
    back.quantity = -line.quantity;
    back.amount = Money{} - line.amount;
    put(std::move(back));
    ++made.reversed;
  }
  void repost(LedgerLine line, std::int64_t of_entry) {
    line.entry = of_entry + 2;
    put(std::move(line));
    ++made.reposted;
  }

 private:
  void put(LedgerLine line) {
    line.posted_at = made.at;
    line.correction = made.id;
    made.difference = made.difference + line.amount;
    lines.push_back(std::move(line));
  }
};

Result<void> keep(sql::Tx& tx, const Call& call, const Rewriting& rewriting,
                  const std::string& action, const std::string& digest) {
  const Correction& made = rewriting.made;
  // It may touch every hour of months: limits see it with the next call.
  TRY(write(tx, call, made.at, rewriting.lines, false));
  TRY(
      tx.run("INSERT INTO ledger_corrections (project, id, at, actor, reason, digest, reversed, "
             "reposted, difference) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
             {call.project, made.id, sql::to_sql(made.at), made.actor, made.reason, digest,
              made.reversed, made.reposted, sql::to_sql(made.difference)}));
  return audit::record(tx, call, made.at,
                       {action,
                        "correction:" + made.id,
                        {{"reason", made.reason},
                         {"reversed", made.reversed},
                         {"reposted", made.reposted},
                         {"difference", to_text(made.difference)}}});
}

Result<std::optional<Correction>> found(sql::Tx& tx, const Call& call, const std::string& id,
                                        const std::string& digest) {
  static const std::string text = "SELECT " + columns<Correction>() +
                                  ", digest FROM ledger_corrections WHERE project = $1 AND id = $2";
  const auto rows = TRY(tx.run(text, {call.project, id}));
  if (rows.empty()) return std::optional<Correction>{};
  if (std::get<std::string>(rows.front().back()) != digest)
    return Error{Code::already_exists,
                 "there is a correction " + id +
                     " that says something else: give this one an id "
                     "of its own",
                 {{"id", "is taken"}}};
  return std::optional(sql::read_row<Correction>(rows.front()));
}

Result<std::vector<LedgerLine>> chosen(sql::Tx& tx, const Call& call, const CorrectedLine& which,
                                       const std::string& field) {
  std::vector<LedgerLine> lines;
  for (LedgerLine& line :
       TRY(store::standing_of(tx, call.project, which.source, which.id, lines_max + 1)))
    if (!which.meter || line.meter == *which.meter) lines.push_back(std::move(line));
  if (!lines.empty()) return lines;
  std::string name = which.source + (which.id.empty() ? "" : " " + which.id);
  if (which.meter) name += " of meter " + std::string(name_of(*which.meter));
  const auto taken = TRY(tx.run(
      "SELECT correction FROM ledger_lines WHERE project = $1 AND source = $2 AND ($3 = '' OR id = "
      "$3) AND ($4 = '' OR meter = $4) AND entry % 2 = 1 ORDER BY posted_at DESC LIMIT 1",
      {call.project, which.source, which.id,
       which.meter ? sql::to_sql(*which.meter) : Scalar(std::string())}));
  if (taken.empty())
    return Error{Code::not_found,
                 "no line of " + name + " was ever posted",
                 {{field, "names no line (penstock cost lines SOURCE ID shows those of a call)"}}};
  return Error{Code::not_found,
               name + " was already taken back, by correction " +
                   std::get<std::string>(taken[0][0]) + "; nothing was changed",
               {{field, "names no standing line (penstock cost lines SOURCE ID shows all)"}}};
}

CorrectOutput told(const Correction& made, bool repeated) {
  return {.id = made.id,
          .at = made.at,
          .actor = made.actor,
          .reason = made.reason,
          .reversed = made.reversed,
          .reposted = made.reposted,
          .difference = made.difference,
          .repeated = repeated};
}

Result<LedgerLine> replaced(sql::Tx& tx, const LedgerLine& line, const Replacement& with,
                            Pricer& pricer) {
  LedgerLine out = line;
  out.quantity = with.quantity.value_or(line.quantity);
  out.tenant = with.tenant.value_or(line.tenant);
  out.route = with.route.value_or(line.route);
  out.model = with.model.value_or(line.model);
  out.version = with.version.value_or(line.version);
  out.user_tag = with.user_tag.value_or(line.user_tag);
  if (is_prompt(line.meter) && out.call_tokens > 0) out.call_tokens += out.quantity - line.quantity;
  if (out.model != line.model)
    TRY(pricer.price(tx, out));
  else
    out.amount = price_of(out.quantity, out.price, out.per);
  return out;
}

}  // namespace

Result<CorrectOutput> correct(sql::Tx& tx, const Call& call, Timestamp now,
                              const CorrectInput& input) {
  const std::string digest = sha256_hex(canonical(encode(input)));
  if (const auto before = TRY(found(tx, call, input.id, digest))) return told(*before, true);
  Rewriting rewriting{
      .made = {.id = input.id, .at = now, .actor = call.actor, .reason = input.reason}};
  Pricer pricer(std::make_shared<const PriceBook>(TRY(PriceBook::read(tx, call))),
                Pricer::Order::arrival);
  std::set<std::tuple<std::string, std::string, Meter>> seen;
  for (std::size_t at = 0; at < input.lines.size(); ++at) {
    const CorrectedLine& which = input.lines[at];
    const std::string field = "lines[" + std::to_string(at) + "]";
    for (const LedgerLine& line : TRY(chosen(tx, call, which, field))) {
      if (!seen.emplace(line.source, line.id, line.meter).second)
        return Error{Code::invalid_argument,
                     "a correction names a line once",
                     {{field, "names a line that one before it names"}}};
      if (which.replacement && line.meter == Meter::shared_cost)
        return Error{Code::invalid_argument,
                     "a share is taken back whole and split again",
                     {{field + ".replacement", "must be left out for shared_cost"}}};
      rewriting.reverse(line);
      if (which.replacement)
        rewriting.repost(TRY(replaced(tx, line, *which.replacement, pricer)), line.entry);
    }
    if (rewriting.made.reversed > lines_max)
      return Error{
          Code::resource_exhausted,
          "a correction has at most " + std::to_string(lines_max) + " lines: make several"};
  }
  TRY(keep(tx, call, rewriting, "costs.corrected", digest));
  return told(rewriting.made, false);
}

Result<RepriceOutput> reprice(sql::Tx& tx, const Call& call, Timestamp now,
                              const RepriceInput& input) {
  if (input.until <= input.from)
    return Error{
        Code::invalid_argument, "until must be after from", {{"until", "must be after from"}}};
  Pricer pricer(std::make_shared<const PriceBook>(TRY(PriceBook::read(tx, call, input.known_at))),
                Pricer::Order::time);
  std::optional<store::Position> after;
  if (input.after)
    after = {.at = input.after->at,
             .source = input.after->source,
             .id = input.after->id,
             .meter = input.after->meter};
  const auto lines = TRY(store::standing(tx, call.project, input.from, input.until, after, page));
  RepriceOutput out{.examined = static_cast<std::int64_t>(lines.size())};
  Rewriting rewriting{
      .made = {.id = new_ulid(now), .at = now, .actor = call.actor, .reason = input.reason}};
  for (const LedgerLine& line : lines) {
    if (line.meter == Meter::shared_cost) continue;
    LedgerLine again = line;
    TRY(pricer.price(tx, again));  // of every line: those of other models fill the month too
    if (input.model && *input.model != line.model && *input.model != line.upstream_model) continue;
    if (again.pricing == Pricing::unpriced) {
      out.unpriced += line.pricing == Pricing::unpriced ? 1 : 0;
      continue;
    }
    if (line.pricing == Pricing::priced &&
        (input.only_unpriced || (again.price == line.price && again.per == line.per)))
      continue;
    rewriting.reverse(line);
    rewriting.repost(std::move(again), line.entry);
  }
  out.repriced = rewriting.made.reposted;
  out.difference = rewriting.made.difference;
  if (static_cast<std::int64_t>(lines.size()) == page) {
    const LedgerLine& last = lines.back();
    out.next = {.at = last.at, .source = last.source, .id = last.id, .meter = last.meter};
  }
  if (out.repriced == 0 || input.dry_run) return out;
  out.correction = rewriting.made.id;
  TRY(keep(tx, call, rewriting, "costs.repriced", ""));
  return out;
}

}  // namespace penstock::costs

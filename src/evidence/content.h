// All that is told of a version, and the files of a bundle that it is told in.
#pragma once

#include "audit/audit.h"
#include "evidence/archive.h"
#include "incidents/service.h"
#include "policies/service.h"
#include "record/facts.h"
#include "release/service.h"

namespace penstock::evidence {

// Also what ended, and what was asked for and never given.
struct ApprovalsOf {
  std::string subject;
  std::vector<approvals::Approval> approvals;
  std::vector<approvals::Request> requests;
};
BOOST_DESCRIBE_STRUCT(ApprovalsOf, (), (subject, approvals, requests))

struct ReleaseOf {
  release::ReleaseDetail detail;
  std::vector<release::Look> looks;
  release::Replayed replayed;  // every verdict again, from the looks
};
BOOST_DESCRIBE_STRUCT(ReleaseOf, (), (detail, looks, replayed))

struct SignatureOf {
  registry::CheckedSignature signature;
  std::string public_key;  // PEM, as it is declared; empty: nobody declared it
};
BOOST_DESCRIBE_STRUCT(SignatureOf, (), (signature, public_key))

struct ArtifactOf {
  std::string uri;
  bool stored = false;  // here; else nothing is known of its files
  std::vector<record::FileFact> files;
};
BOOST_DESCRIBE_STRUCT(ArtifactOf, (), (uri, stored, files))

struct EvaluationOf {
  std::optional<std::string> report;  // as the record names it
  std::optional<training::Evaluation> evaluation;
  std::map<std::string, double> metrics;
};
BOOST_DESCRIBE_STRUCT(EvaluationOf, (), (report, evaluation, metrics))

struct Content {
  record::Facts facts;
  catalog::Trace lineage;
  std::vector<ApprovalsOf> approvals;  // of the version, then of each release
  std::vector<ReleaseOf> releases;
  std::vector<incidents::IncidentDetail> incidents;
  std::vector<SignatureOf> signatures;
  std::vector<policies::Finding> policies;  // newest first
  std::vector<std::string> subjects;        // whose audit events belong to it
};

// One file a part; `events` all lead to `head`.
std::vector<File> files_of(const Content& content, const audit::Checkpoint& head,
                           const std::vector<audit::Inclusion>& events);

// "signatures/0123456789abcdef": without its ending.
std::string signature_stem(const registry::CheckedSignature& signature);

}  // namespace penstock::evidence

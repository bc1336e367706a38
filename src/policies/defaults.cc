#include "policies/service.h"

namespace penstock::policies {

std::string_view default_policies() {
  return R"(kind: policy
name: version-has-owner
owner: platform
description: Somebody answers for what takes traffic.
applies_to: [register, approve, release]
severity: block
message: The record names no owner
sql: |
  SELECT v.urn AS subject, 'register the next version with owner' AS message
  FROM policy_subject AS s
    JOIN policy_model_versions AS v ON v.model = s.name AND v.version = s.version
  WHERE s.kind = 'model' AND coalesce(trim(v.owner), '') = ''
---
kind: policy
name: version-has-evaluation
owner: platform
description: Nothing is approved or released that was not measured, and what failed its gate is not either.
applies_to: [approve, release]
severity: block
message: No evaluation speaks for it
sql: |
  SELECT v.urn AS subject,
    CASE WHEN v.eval_report IS NULL THEN 'the record names none'
      WHEN e.evaluation IS NULL THEN v.eval_report || ' is not known here'
      ELSE e.evaluation || ' did not pass its gate' END AS message
  FROM policy_subject AS s
    JOIN policy_model_versions AS v ON v.model = s.name AND v.version = s.version
    LEFT JOIN policy_evaluations AS e ON e.model = v.model AND e.version = v.version
  WHERE s.kind = 'model' AND (e.evaluation IS NULL OR NOT coalesce(e.passed, 1 = 1))
---
kind: policy
name: version-has-rollback-target
owner: platform
description: There is a way back. The first version of a model needs none.
applies_to: [approve, release]
severity: block
message: The record names no version to go back to
sql: |
  SELECT v.urn AS subject, 'set rollback_to' AS message
  FROM policy_subject AS s
    JOIN policy_model_versions AS v ON v.model = s.name AND v.version = s.version
  WHERE s.kind = 'model' AND v.versions_before > 0 AND v.rollback_to IS NULL
---
kind: policy
name: no-restricted-data-to-external-runtime
owner: platform
description: What was made from restricted data is not executed by others. Columns that are masked on their way do not count.
applies_to: [approve, release]
severity: block
message: Restricted data would leave
sql: |
  SELECT u.urn AS subject,
    u.urn || ' is restricted and runtime ' || v.runtime || ' is not ours' AS message
  FROM policy_subject AS s
    JOIN policy_model_versions AS v ON v.model = s.name AND v.version = s.version
    CROSS JOIN policy_upstream AS u
  WHERE s.kind = 'model' AND v.external AND u.class_rank >= 3
  ORDER BY u.urn
---
kind: policy
name: evaluation-is-recent
owner: platform
description: An evaluation speaks for 90 days. Write another number into the last line for another limit.
applies_to: [release]
severity: block
message: The evaluation is too old
sql: |
  SELECT e.evaluation AS subject,
    e.evaluation || ' is ' || CAST(CAST(e.age_days AS BIGINT) AS TEXT) || ' days old' AS message
  FROM policy_subject AS s
    JOIN policy_evaluations AS e ON e.model = s.name AND e.version = s.version
  WHERE s.kind = 'model' AND e.age_days > 90
---
kind: policy
name: artifact-is-signed
owner: platform
description: Somebody signed the files. Where it must not only be noted, say severity block, or signature_required of the model.
applies_to: [release]
severity: warn
message: The artifact has no signature
sql: |
  SELECT v.urn AS subject, 'penstock models sign' AS message
  FROM policy_subject AS s
    JOIN policy_model_versions AS v ON v.model = s.name AND v.version = s.version
  WHERE s.kind = 'model' AND NOT EXISTS (
    SELECT 1 FROM policy_signatures AS g WHERE g.model = v.model AND g.version = v.version)
---
kind: policy
name: upstream-sources-are-fresh
owner: platform
description: A model is not released while a source that it was made from is late or fails its checks.
applies_to: [release]
severity: warn
message: A source upstream is not as it should be
sql: |
  SELECT u.urn AS subject,
    u.urn || CASE WHEN NOT r.fresh THEN ' is late' ELSE ' fails its checks' END AS message
  FROM policy_upstream AS u JOIN policy_sources AS r ON r.urn = u.urn
  WHERE NOT r.fresh OR NOT r.checks_passed
  ORDER BY u.urn
---
kind: policy
name: no-critical-incident
owner: platform
description: While something critical of this model or route is open, nothing new of it takes traffic.
applies_to: [release]
severity: warn
message: A critical incident is not resolved
sql: |
  SELECT i.subject AS subject, i.title AS message
  FROM policy_subject AS s
    JOIN policy_incidents AS i ON i.subject = 'route:' || s.route OR i.subject = s.urn
  WHERE i.severity = 'critical' AND i.status <> 'resolved'
  ORDER BY i.opened_at
---
kind: policy
name: restricted-source-is-read
owner: platform
description: Leaves a note wherever restricted data is read into datasets, features or batches. Say severity block, and except who may, where it must not.
applies_to: [read]
severity: warn
message: Restricted data is read
sql: |
  SELECT u.urn AS subject, s.actor || ' reads it for ' || s.purpose AS message
  FROM policy_subject AS s CROSS JOIN policy_upstream AS u
  WHERE u.class_rank >= 3
  ORDER BY u.urn
)";
}

}  // namespace penstock::policies

// The views' SQL, read by SQLite and PostgreSQL alike. Two words do what is written differently
// elsewhere: json(text) is a cast in one and a function in the other, and ->> takes apart what it
// gives; json_each reads objects in both. A list is read by the numbers of penstock_numbers.
#include <array>

#include "policies/views.h"

namespace penstock::policies {
namespace {

constexpr std::int64_t list_max = 200;

// 0, 1, ... as rows.
std::string numbers() {
  std::string out;
  for (std::int64_t n = 0; n < list_max; ++n)
    out += (n == 0 ? "(" : ", (") + std::to_string(n) + ")";
  // Both call the column of a VALUES so.
  return "SELECT v.column1 AS n FROM (VALUES " + out + ") AS v";
}

constexpr std::string_view subject = R"(
  SELECT CAST($3 AS TEXT) AS urn, CAST($4 AS TEXT) AS kind, CAST($5 AS TEXT) AS name,
    CAST($6 AS BIGINT) AS version, CAST($7 AS TEXT) AS action, CAST($8 AS TEXT) AS actor,
    CAST($9 AS TEXT) AS route, CAST($10 AS TEXT) AS purpose, CAST($2 AS BIGINT) AS now)";

// The newest declaration of each name.
constexpr std::string_view declared = R"(
  SELECT r.kind, r.name, r.version, r.owner, r.declaration, r.applied_at, r.applied_by
  FROM resources AS r WHERE r.project = $1 AND r.version = (SELECT max(n.version)
    FROM resources AS n WHERE n.project = $1 AND n.kind = r.kind AND n.name = r.name))";

constexpr std::string_view models = R"(
  SELECT m.name AS name, coalesce(d.owner, '') AS owner,
    coalesce(CAST(json(d.declaration) ->> 'description' AS TEXT), '') AS description,
    CAST(json(d.declaration) ->> 'risk_class' AS TEXT) AS risk_class,
    coalesce(CAST(json(d.declaration) ->> 'signature_required' AS TEXT), '') IN ('1', 'true')
      AS signature_required,
    (SELECT max(v.version) FROM model_versions AS v WHERE v.project = $1 AND v.model = m.name)
      AS newest_version
  FROM (SELECT name FROM penstock_declared WHERE kind = 'model'
        UNION SELECT model FROM model_versions WHERE project = $1) AS m
    LEFT JOIN penstock_declared AS d ON d.kind = 'model' AND d.name = m.name)";

constexpr std::string_view model_versions = R"(
  SELECT 'model:' || v.model || '@v' || CAST(v.version AS TEXT) AS urn, v.model AS model,
    v.version AS version, v.status AS status,
    CAST(json(v.record) ->> 'owner' AS TEXT) AS owner,
    CAST(json(v.record) ->> 'description' AS TEXT) AS description,
    CAST(json(v.record) ->> 'training_data' AS TEXT) AS training_data,
    CAST(json(v.record) ->> 'feature_schema' AS TEXT) AS feature_schema,
    CAST(json(v.record) ->> 'eval_report' AS TEXT) AS eval_report,
    CAST(json(v.record) ->> 'run' AS TEXT) AS run,
    CAST(json(v.record) ->> 'approved_for' AS TEXT) AS approved_for,
    CAST(json(v.record) ->> 'rollback_to' AS TEXT) AS rollback_to,
    CAST(json(v.record) ->> 'licence' AS TEXT) AS licence,
    CAST(json(v.record) ->> 'risk_class' AS TEXT) AS risk_class,
    CAST(json(v.record) ->> 'intended_use' AS TEXT) AS intended_use,
    CAST(json(v.record) ->> 'runtime' AS TEXT) AS runtime,
    coalesce(CAST(json(v.record) ->> 'runtime' AS TEXT), '') NOT IN ('', 'onnx', 'python')
      AS external,
    CAST(json(v.record) ->> 'artifact_uri' AS TEXT) AS artifact_uri,
    CAST(json(v.record) ->> 'artifact_digest' AS TEXT) AS artifact_digest,
    v.digest AS digest, v.created_by AS created_by, v.created_at AS created_at,
    CAST($2 - v.created_at AS DOUBLE PRECISION) / 86400000000.0 AS age_days,
    (SELECT count(*) FROM model_versions AS b WHERE b.project = $1 AND b.model = v.model
      AND b.version < v.version) AS versions_before
  FROM model_versions AS v WHERE v.project = $1)";

constexpr std::string_view references = R"(
  SELECT v.model AS model, v.version AS version,
    CAST(json(v.record_references) -> i.n ->> 'field' AS TEXT) AS field,
    CAST(json(v.record_references) -> i.n ->> 'text' AS TEXT) AS written,
    coalesce(CAST(json(v.record_references) -> i.n ->> 'standing' AS TEXT), '') = 'verified'
      AS verified,
    CAST(json(v.record_references) -> i.n ->> 'urn' AS TEXT) AS target
  FROM model_versions AS v JOIN penstock_numbers AS i
    ON i.n < 16 AND i.n < json_array_length(json(v.record_references))
  WHERE v.project = $1)";

constexpr std::string_view metrics = R"(
  SELECT v.model AS model, v.version AS version, m.key AS metric,
    CAST(CAST(m.value AS TEXT) AS DOUBLE PRECISION) AS value
  FROM model_versions AS v, json_each(json(v.record) -> 'metrics') AS m WHERE v.project = $1)";

// Of a pipeline's gate, or of the run that an MLflow client logged.
constexpr std::string_view evaluations = R"(
  SELECT r.model AS model, r.version AS version, r.target AS evaluation, e.passed AS passed,
    coalesce(e.created_at, t.end_time * 1000, t.start_time * 1000) AS created_at,
    CAST($2 - coalesce(e.created_at, t.end_time * 1000, t.start_time * 1000) AS DOUBLE PRECISION)
      / 86400000000.0 AS age_days
  FROM policy_references AS r
    LEFT JOIN evaluations AS e ON e.project = $1 AND r.target LIKE 'evaluation:%'
      AND e.name = substr(r.target, 12)
    LEFT JOIN tracked_runs AS t ON t.project = $1 AND r.target LIKE 'run:%'
      AND t.id = substr(r.target, 5)
  WHERE r.field = 'eval_report' AND (e.name IS NOT NULL OR t.id IS NOT NULL))";

constexpr std::string_view slices = R"(
  SELECT 'evaluation:' || e.name AS evaluation,
    CAST(json(e.slices) -> i.n ->> 'slice' AS TEXT) AS slice,
    CAST(json(e.slices) -> i.n ->> 'rows' AS BIGINT) AS row_count,
    CAST(json(e.slices) -> i.n ->> 'accuracy' AS DOUBLE PRECISION) AS accuracy,
    CAST(json(e.slices) -> i.n ->> 'brier' AS DOUBLE PRECISION) AS brier,
    CAST(json(e.slices) -> i.n ->> 'improvement' AS DOUBLE PRECISION) AS improvement,
    CAST(json(e.slices) -> i.n ->> 'lower' AS DOUBLE PRECISION) AS lower_bound,
    CAST(json(e.slices) -> i.n ->> 'upper' AS DOUBLE PRECISION) AS upper_bound,
    coalesce(CAST(json(e.slices) -> i.n ->> 'judged' AS TEXT), '') IN ('1', 'true') AS judged,
    coalesce(CAST(json(e.slices) -> i.n ->> 'passed' AS TEXT), '') IN ('1', 'true') AS passed
  FROM evaluations AS e JOIN penstock_numbers AS i ON i.n < json_array_length(json(e.slices))
  WHERE e.project = $1)";

constexpr std::string_view approvals = R"(
  SELECT a.subject AS subject, a.scope AS scope, a.digest AS digest, a.approver AS approver,
    a.comment AS comment, a.at AS given_at, a.expires_at AS expires_at,
    (a.ended_at IS NULL AND (a.expires_at IS NULL OR a.expires_at > $2)) AS stands,
    CAST($2 - a.at AS DOUBLE PRECISION) / 86400000000.0 AS age_days
  FROM approvals AS a WHERE a.project = $1)";

constexpr std::string_view aliases = R"(
  SELECT a.model AS model, a.alias AS alias, a.version AS version
  FROM model_aliases AS a WHERE a.project = $1)";

constexpr std::string_view tags = R"(
  SELECT t.model AS model, t.version AS version, t.key AS tag, t.value AS value
  FROM version_tags AS t WHERE t.project = $1)";

constexpr std::string_view datasets = R"(
  SELECT 'dataset:' || d.name || '@' || CAST(d.version AS TEXT) AS urn, d.name AS name,
    d.version AS version, d.digest AS digest, d.row_count AS row_count,
    d.feature_schema AS feature_schema, d.created_by AS created_by, d.created_at AS created_at,
    CAST($2 - d.created_at AS DOUBLE PRECISION) / 86400000000.0 AS age_days
  FROM datasets AS d WHERE d.project = $1)";

constexpr std::string_view source_columns = R"(
  SELECT c.source AS source, c.column_name AS name, c.type AS type,
    c.classification AS classification, c.class_rank AS class_rank, c.tags AS tags
  FROM source_columns AS c WHERE c.project = $1)";

constexpr std::string_view sources = R"(
  SELECT 'source:' || d.name || '@' || CAST(d.version AS TEXT) AS urn, d.name AS name,
    d.version AS version, d.owner AS owner,
    coalesce(CAST(json(d.declaration) ->> 'description' AS TEXT), '') AS description,
    CASE k.class_rank WHEN 3 THEN 'restricted' WHEN 2 THEN 'confidential' WHEN 1 THEN 'internal'
      WHEN 0 THEN 'public' END AS classification, k.class_rank AS class_rank,
    m.at AS measured_at, m.fresh AS fresh, m.passed AS checks_passed
  FROM penstock_declared AS d
    LEFT JOIN (SELECT c.source, max(c.class_rank) AS class_rank FROM source_columns AS c
               WHERE c.project = $1 GROUP BY c.source) AS k ON k.source = d.name
    LEFT JOIN source_measures AS m ON m.project = $1 AND m.source = d.name AND m.at =
      (SELECT max(l.at) FROM source_measures AS l WHERE l.project = $1 AND l.source = d.name)
  WHERE d.kind = 'source')";

// Whatever the subject was made from, by whole things. A node may be reached on several ways.
constexpr std::string_view reached = R"(
  SELECT CAST($3 AS TEXT) AS urn, 0 AS depth
  UNION
  SELECT e.to_urn, r.depth + 1 FROM penstock_reached AS r
    JOIN lineage_edges AS e ON e.project = $1 AND e.from_urn = r.urn
  WHERE r.depth < 32 AND e.to_urn NOT LIKE '%#%'
    AND e.relation NOT IN ('follows', 'rolls_back_to', 'approved_by', 'releases'))";

// Who of these reads which version of a source.
constexpr std::string_view reads = R"(
  SELECT DISTINCT e.from_urn AS reader, e.to_urn AS urn, s.name AS source
  FROM penstock_reached AS r
    JOIN lineage_edges AS e ON e.project = $1 AND e.from_urn = r.urn AND e.relation <> 'follows'
    JOIN resources AS s ON s.project = $1 AND s.kind = 'source'
      AND e.to_urn = 'source:' || s.name || '@' || CAST(s.version AS TEXT)
  UNION
  SELECT '', CAST($3 AS TEXT), s.name FROM resources AS s WHERE s.project = $1
    AND s.kind = 'source' AND CAST($4 AS TEXT) = 'source' AND s.name = CAST($5 AS TEXT))";

// Which columns of it, where lineage of columns says so.
constexpr std::string_view column_reads = R"(
  SELECT r.reader AS reader, r.urn AS urn, c.class_rank AS class_rank, e.masking AS masking
  FROM penstock_reads AS r
    JOIN source_columns AS c ON c.project = $1 AND c.source = r.source
    JOIN lineage_edges AS e ON e.project = $1 AND e.to_urn = r.urn || '#' || c.anchor
  WHERE e.from_urn = r.reader
    OR substr(e.from_urn, 1, length(r.reader) + 1) = r.reader || '#')";

constexpr std::string_view read_classes = R"(
  SELECT u.urn AS urn, max(u.class_rank) AS class_rank FROM (
    SELECT r.urn AS urn, c.class_rank AS class_rank FROM penstock_reads AS r
      JOIN source_columns AS c ON c.project = $1 AND c.source = r.source
    WHERE NOT EXISTS (SELECT 1 FROM penstock_column_reads AS x
                      WHERE x.reader = r.reader AND x.urn = r.urn)
    UNION ALL
    SELECT x.urn, x.class_rank FROM penstock_column_reads AS x WHERE NOT x.masking) AS u
  GROUP BY u.urn)";

constexpr std::string_view upstream = R"(
  SELECT n.urn AS urn,
    CASE WHEN n.urn LIKE 'source:%' THEN 'source' WHEN n.urn LIKE 'dataset:%' THEN 'dataset'
      WHEN n.urn LIKE 'feature_view:%' THEN 'feature_view'
      WHEN n.urn LIKE 'feature_schema:%' THEN 'feature_schema'
      WHEN n.urn LIKE 'model:%' THEN 'model' WHEN n.urn LIKE 'run:%' THEN 'run'
      WHEN n.urn LIKE 'evaluation:%' THEN 'evaluation' ELSE 'other' END AS kind,
    n.depth AS depth, d.owner AS owner,
    CASE k.class_rank WHEN 3 THEN 'restricted' WHEN 2 THEN 'confidential' WHEN 1 THEN 'internal'
      WHEN 0 THEN 'public' END AS classification, k.class_rank AS class_rank
  FROM (SELECT r.urn, min(r.depth) AS depth FROM penstock_reached AS r GROUP BY r.urn) AS n
    LEFT JOIN penstock_read_classes AS k ON k.urn = n.urn
    LEFT JOIN resources AS d ON d.project = $1
      AND d.kind IN ('source', 'feature_view', 'feature_schema')
      AND n.urn = d.kind || ':' || d.name || '@' || CAST(d.version AS TEXT))";

constexpr std::string_view feature_views = R"(
  SELECT 'feature_view:' || d.name || '@' || CAST(d.version AS TEXT) AS urn, d.name AS name,
    d.version AS version, d.owner AS owner,
    coalesce(CAST(json(d.declaration) ->> 'description' AS TEXT), '') AS description,
    CAST(json(d.declaration) ->> 'entity' AS TEXT) AS entity,
    coalesce(CAST(json(d.declaration) ->> 'online' AS TEXT), '') IN ('1', 'true') AS online
  FROM penstock_declared AS d WHERE d.kind = 'feature_view')";

constexpr std::string_view routes = R"(
  SELECT d.name AS name, d.owner AS owner,
    CAST(json(d.declaration) ->> 'model' AS TEXT) AS model,
    CAST(json(d.declaration) ->> 'feature_schema' AS TEXT) AS feature_schema,
    CAST(json(d.declaration) ->> 'alias' AS TEXT) AS alias,
    (SELECT max(t.version) FROM route_targets AS t WHERE t.project = $1 AND t.route = d.name
      AND t.arm = 'live') AS live_version
  FROM penstock_declared AS d WHERE d.kind = 'route')";

constexpr std::string_view deployments = R"(
  SELECT t.route AS route, t.model AS model, t.version AS version, t.arm AS arm,
    t.weight AS weight, t.release AS release, v.runtime AS runtime, v.external AS external,
    t.updated_at AS since
  FROM route_targets AS t
    JOIN policy_model_versions AS v ON v.model = t.model AND v.version = t.version
  WHERE t.project = $1)";

constexpr std::string_view releases = R"(
  SELECT r.id AS id, r.route AS route, r.model AS model, r.version AS version,
    r.from_version AS from_version, r.state AS state, r.author AS author,
    r.created_at AS created_at, r.updated_at AS updated_at,
    CAST($2 - r.updated_at AS DOUBLE PRECISION) / 86400000000.0 AS age_days
  FROM releases AS r WHERE r.project = $1)";

constexpr std::string_view incidents = R"(
  SELECT i.id AS id, i.subject AS subject, i.title AS title, i.severity AS severity,
    i.status AS status, i.owner AS owner, i.opened_at AS opened_at, i.resolved_at AS resolved_at,
    CAST($2 - i.opened_at AS DOUBLE PRECISION) / 86400000000.0 AS age_days
  FROM incidents AS i WHERE i.project = $1)";

constexpr std::string_view signatures = R"(
  SELECT v.model AS model, v.version AS version, s.key_id AS key_id, s.added_by AS added_by,
    s.signed_at AS signed_at
  FROM artifact_signatures AS s
    JOIN model_versions AS v ON v.project = $1
      AND s.artifact = CAST(json(v.record) ->> 'artifact_uri' AS TEXT)
  WHERE s.project = $1)";

}  // namespace

const std::vector<ViewText>& view_texts() {
  static const std::string all_numbers = numbers();
  static const std::vector<ViewText> all = {
      {"penstock_numbers", all_numbers},
      {"penstock_declared", declared},
      {"policy_subject", subject},
      {"policy_models", models},
      {"policy_model_versions", model_versions},
      {"policy_references", references},
      {"policy_metrics", metrics},
      {"policy_evaluations", evaluations},
      {"policy_evaluation_slices", slices},
      {"policy_approvals", approvals},
      {"policy_aliases", aliases},
      {"policy_tags", tags},
      {"policy_datasets", datasets},
      {"policy_source_columns", source_columns},
      {"policy_sources", sources},
      {"penstock_reached", reached},
      {"penstock_reads", reads},
      {"penstock_column_reads", column_reads},
      {"penstock_read_classes", read_classes},
      {"policy_upstream", upstream},
      {"policy_feature_views", feature_views},
      {"policy_routes", routes},
      {"policy_deployments", deployments},
      {"policy_releases", releases},
      {"policy_incidents", incidents},
      {"policy_signatures", signatures},
  };
  return all;
}

}  // namespace penstock::policies

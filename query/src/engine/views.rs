//! The views that people ask from, as SQL over `events`.

/// Their names and definitions; a later one may use an earlier one.
pub(super) const VIEWS: [(&str, &str); 4] = [
    ("downloads", "SELECT * FROM events WHERE action IN ('pull', 'download')"),
    (
        "organizations",
        "SELECT org_id, max(org_name) AS org_name, max(org_kind) AS org_kind, max(org_domain) AS org_domain, \
         count(*) AS downloads, count(DISTINCT endpoint_id) AS endpoints, min(ts) AS first_seen, max(ts) AS last_seen \
         FROM downloads WHERE org_id IS NOT NULL GROUP BY org_id",
    ),
    ("coverage", COVERAGE),
    ("org_daily", ORG_DAILY),
];

/// Sums by day, organization, package, version, country and kind. What others counted stands beside it under its `source`, of whole weeks or
/// months where `period` says so, and is never mixed with what was counted here: what Docker counts of an image may be in `events` too.
const ORG_DAILY: &str = "SELECT 'events' AS source, 'day' AS period, date, org_id, max(org_name) AS org_name, package, version, country, \
        kind, CAST(NULL AS VARCHAR) AS client, CAST(NULL AS VARCHAR) AS automation, CAST(NULL AS VARCHAR) AS cloud, \
        count(*) AS downloads, CAST(NULL AS BIGINT) AS version_checks, sum(bytes) AS bytes, \
        count(DISTINCT endpoint_id) AS endpoints, CAST(NULL AS BIGINT) AS users \
    FROM downloads WHERE org_id IS NOT NULL GROUP BY date, org_id, package, version, country, kind \
    UNION ALL \
    SELECT 'docker', CASE WHEN lower(date_granularity) LIKE 'week%' THEN 'week' ELSE 'month' END, date, lower(domain), lower(domain), \
        image_repository, NULL, upper(ip_country), 'oci', user_agent, \
        CASE inferred_use_case WHEN 'Local Dev' THEN 'person' WHEN 'CI/CD' THEN 'ci' WHEN 'Prod' THEN 'production' ELSE 'unknown' END, \
        nullif(cloud_service_provider, 'no csp'), data_downloads, version_checks, NULL, NULL, unique_authenticated_users \
    FROM (SELECT *, row_number() OVER (PARTITION BY date, date_granularity, publisher_name, domain, ip_country, cloud_service_provider, \
              user_agent, inferred_use_case, image_repository ORDER BY revision DESC) AS newest FROM docker_pulls) \
    WHERE newest = 1 AND domain IS NOT NULL";

/// Every download stands in exactly one class. `endpoints` are distinct within a class.
const COVERAGE: &str = "SELECT class, count(*) AS downloads, count(DISTINCT endpoint_id) AS endpoints \
    FROM (SELECT CASE WHEN org_id IS NOT NULL THEN 'attributed' \
                      WHEN network_kind IN ('hosting', 'vpn', 'tor') THEN 'hosting' \
                      WHEN network_kind IN ('isp', 'mobile') THEN 'isp' \
                      ELSE 'unknown' END AS class, endpoint_id FROM downloads) GROUP BY class";

/// The coverage of the downloads for which `condition` holds.
pub(crate) fn coverage_where(condition: &str) -> String {
    COVERAGE.replace("FROM downloads", &format!("FROM downloads WHERE {condition}"))
}

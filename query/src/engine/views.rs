//! The views that people ask from, as SQL over `events`.

/// Their names and definitions; a later one may use an earlier one.
pub(super) const VIEWS: [(&str, &str); 3] = [
    ("downloads", "SELECT * FROM events WHERE action IN ('pull', 'download')"),
    (
        "organizations",
        "SELECT org_id, max(org_name) AS org_name, max(org_kind) AS org_kind, max(org_domain) AS org_domain, \
         count(*) AS downloads, count(DISTINCT endpoint_id) AS endpoints, min(ts) AS first_seen, max(ts) AS last_seen \
         FROM downloads WHERE org_id IS NOT NULL GROUP BY org_id",
    ),
    ("coverage", COVERAGE),
];

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

//! What a new user sees first.

use crate::support::whopulls;

#[test]
fn the_demo_shows_twenty_organizations_and_shares_that_sum_to_a_hundred() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("demo");
    let printed = whopulls(&["demo", "--exit", "--data", data.to_str().expect("a text path")]).expect_success();
    let answer =
        whopulls(&["orgs", "--format", "json", "--data", data.to_str().expect("a text path")]).expect_success();
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    let organizations = answer["organizations"].as_array().expect("a list");
    assert!(organizations.len() >= 20, "{}", organizations.len());
    for organization in organizations.iter().take(20) {
        let name = organization["name"].as_str().expect("a name");
        assert!(printed.contains(name), "{name} in\n{printed}");
    }
    for known in ["CERN", "MIT", "Apple"] {
        assert!(organizations.iter().any(|o| o["name"] == known), "{known}");
    }
    let shares: f64 = ["attributed", "hosting", "isp", "unknown"]
        .iter()
        .map(|class| answer["coverage"]["downloads"][class].as_f64().expect("a share"))
        .sum();
    assert!((shares - 1.0).abs() < 1e-9, "{shares}");
    assert!(printed.contains("100.0 %") || printed.contains("100 %"), "{printed}");
}

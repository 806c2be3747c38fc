//! The client's settings, built from the variables.

use chatchonk::config::{Config, ConfigError, Environment};
use chatchonk::kv_client::KvSettings;

const ID: &str = "0f2ac74b498b48028cb68387c421e279";

fn settings(variables: &[(&str, &str)]) -> Result<KvSettings, ConfigError> {
    let environment: Environment = variables.iter().copied().chain([("DATA_DIR", "/nonexistent")]).collect();
    Config::from_environment(&environment, None).map(|config| config.kv)
}

#[test]
fn three_variables_connect_to_cloudflare() {
    let copied = format!("\u{feff}{ID}\r");
    let KvSettings::Configured(connection) = settings(&[
        ("CLOUDFLARE_API_TOKEN", "hunter2"),
        ("CLOUDFLARE_ACCOUNT_ID", &copied),
        ("CLOUDFLARE_KV_NAMESPACE_ID", ID),
    ])
    .unwrap() else {
        panic!("not configured")
    };
    let expected = format!("https://api.cloudflare.com/client/v4/accounts/{ID}");
    assert_eq!(connection.base_url.as_str(), expected);
    assert_eq!((connection.account_id.as_str(), connection.namespace_id.as_str()), (ID, ID));
}

#[test]
fn partial_settings_name_the_missing_variables() {
    assert_eq!(settings(&[]).unwrap().remark(), None);
    let some = settings(&[("CLOUDFLARE_API_TOKEN", "hunter2"), ("CLOUDFLARE_ACCOUNT_ID", ID)]).unwrap();
    let (reason, _) = some.remark().unwrap();
    assert_eq!(reason, "KV not configured: CLOUDFLARE_KV_NAMESPACE_ID is missing");
}

#[test]
fn an_invalid_setting_is_named_without_its_value() {
    for (variable, value) in [
        ("CLOUDFLARE_API_TOKEN", "Bearer hunter2"),
        ("CLOUDFLARE_ACCOUNT_ID", "hunter2@chatchonk.example"),
        ("CLOUDFLARE_KV_NAMESPACE_ID", "../hunter2"),
        ("CLOUDFLARE_KV_BASE_URL", "http://hunter2.example"),
    ] {
        let error = settings(&[(variable, value)]).unwrap_err();
        assert_eq!(error.variable, variable);
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
}

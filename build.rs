//! Sets `CHATCHONK_COMMIT` to the commit of the build, and watches the migrations.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Migrations are compiled in, and Cargo does not notice a new file.
    println!("cargo::rerun-if-changed=migrations");
    println!("cargo::rerun-if-env-changed=RENDER_GIT_COMMIT");
    // Every commit and checkout changes this log, unlike HEAD, which only names a branch.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"])
        && Path::new(&log).exists()
    {
        println!("cargo::rerun-if-changed={log}");
    }
    let commit =
        from_render().or_else(|| git(&["rev-parse", "HEAD"])).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=CHATCHONK_COMMIT={commit}");
}

/// Render builds without a repository and names the commit in a variable.
#[expect(clippy::disallowed_methods, reason = "the build's environment, not the server's settings")]
fn from_render() -> Option<String> {
    std::env::var("RENDER_GIT_COMMIT").ok().filter(|commit| !commit.is_empty())
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

//! The variables that Airflow's own image understands, in the words of this program.
//!
//! Each becomes the `ENTRYPOINT_` variable that means the same, unless that is set already. What the
//! image does in silence, or with `|| true`, is said or refused here.

use crate::variables::{Source, Variables};

/// The image's defaults: 20 tries, 3 s apart.
const TRIES: f64 = 20.0;
const PAUSE_SECONDS: f64 = 3.0;

/// The image's administrator where only `_AIRFLOW_WWW_USER_CREATE` is set.
const ADMINISTRATOR: [(&str, &str, &str); 5] = [
    (
        "_AIRFLOW_WWW_USER_USERNAME",
        "ENTRYPOINT_ADMIN_USERNAME",
        "admin",
    ),
    (
        "_AIRFLOW_WWW_USER_FIRSTNAME",
        "ENTRYPOINT_ADMIN_FIRSTNAME",
        "Airflow",
    ),
    (
        "_AIRFLOW_WWW_USER_LASTNAME",
        "ENTRYPOINT_ADMIN_LASTNAME",
        "Admin",
    ),
    (
        "_AIRFLOW_WWW_USER_EMAIL",
        "ENTRYPOINT_ADMIN_EMAIL",
        "airflowadmin@example.com",
    ),
    ("_AIRFLOW_WWW_USER_ROLE", "ENTRYPOINT_ADMIN_ROLE", "Admin"),
];

const PASSWORD: &str = "_AIRFLOW_WWW_USER_PASSWORD";
const PASSWORD_COMMAND: &str = "_AIRFLOW_WWW_USER_PASSWORD_CMD";

/// Sets the `ENTRYPOINT_` variables that the image's stand for. Gives back what is odd, a line each.
///
/// # Errors
/// One line (exit 64): a value that cannot be used, or one that would need a shell.
pub fn translate(variables: &mut Variables) -> Result<Vec<String>, String> {
    let mut warnings = Vec::new();
    migrate(variables, &mut warnings);
    wait(variables)?;
    if variables.text("DUMB_INIT_SETSID") == Some("0") {
        set(
            variables,
            "ENTRYPOINT_SIGNAL_SCOPE",
            "main",
            "DUMB_INIT_SETSID",
        );
    }
    administrator(variables, &mut warnings)?;
    if variables.text("_PIP_ADDITIONAL_REQUIREMENTS").is_some() {
        return Err(
            "_PIP_ADDITIONAL_REQUIREMENTS is not supported: nothing is installed when a container \
             starts, build an image that has the packages"
                .to_owned(),
        );
    }
    Ok(warnings)
}

fn migrate(variables: &mut Variables, warnings: &mut Vec<String>) {
    for name in ["_AIRFLOW_DB_MIGRATE", "_AIRFLOW_DB_UPGRADE"] {
        let Some(value) = variables.text(name) else {
            continue;
        };
        let is_denied = ["false", "0", "no", "off"].contains(&value.to_lowercase().as_str());
        if is_denied {
            warnings.push(format!(
                "{name} migrates whatever its value is, as in Airflow's own image: unset it, or set \
                 ENTRYPOINT_MIGRATE=never"
            ));
        }
        let built = match name {
            "_AIRFLOW_DB_MIGRATE" => "_AIRFLOW_DB_MIGRATE",
            _ => "_AIRFLOW_DB_UPGRADE",
        };
        set(variables, "ENTRYPOINT_MIGRATE", "auto", built);
    }
}

fn wait(variables: &mut Variables) -> Result<(), String> {
    let tries = number(variables, "CONNECTION_CHECK_MAX_COUNT")?;
    let pause = number(variables, "CONNECTION_CHECK_SLEEP_TIME")?;
    if tries.is_none() && pause.is_none() {
        return Ok(());
    }
    let seconds = tries.unwrap_or(TRIES) * pause.unwrap_or(PAUSE_SECONDS);
    // A number of milliseconds above a day is a mistake, and below it no rounding matters.
    let timeout = format!("{:.0}ms", (seconds * 1_000.0).min(86_400_000.0));
    set(
        variables,
        "ENTRYPOINT_WAIT_TIMEOUT",
        &timeout,
        "CONNECTION_CHECK_*",
    );
    Ok(())
}

fn administrator(variables: &mut Variables, warnings: &mut Vec<String>) -> Result<(), String> {
    let wanted = variables.text("_AIRFLOW_WWW_USER_CREATE").is_some();
    if wanted && variables.text(PASSWORD_COMMAND).is_some() {
        return Err(format!(
            "{PASSWORD_COMMAND} is a line for a shell, and none is ever called: set \
             ENTRYPOINT_ADMIN_PASSWORD to the password or to a reference to it, such as ssm:///admin/password"
        ));
    }
    if !wanted {
        let orphan = ADMINISTRATOR
            .iter()
            .map(|(image, ..)| *image)
            .chain([PASSWORD]);
        let orphans: Vec<&str> = orphan
            .filter(|name| variables.text(name).is_some())
            .collect();
        if !orphans.is_empty() {
            warnings.push(format!(
                "{} does nothing without _AIRFLOW_WWW_USER_CREATE",
                orphans.join(", ")
            ));
        }
        return Ok(());
    }
    for (image, own, default) in ADMINISTRATOR {
        let value = variables.text(image).unwrap_or(default).to_owned();
        set(variables, own, &value, "_AIRFLOW_WWW_USER_*");
    }
    if let Some(password) = variables.text(PASSWORD).map(str::to_owned) {
        set(variables, "ENTRYPOINT_ADMIN_PASSWORD", &password, PASSWORD);
    }
    Ok(())
}

fn set(variables: &mut Variables, name: &str, value: &str, from: &'static str) {
    if variables.text(name).is_none() {
        variables.set(name, value.to_owned(), Source::Built(from));
    }
}

/// What bash and `sleep` take where the image uses it, without their units.
fn number(variables: &Variables, name: &str) -> Result<Option<f64>, String> {
    let Some(text) = variables.text(name) else {
        return Ok(None);
    };
    match text.trim().parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok(Some(number)),
        _ => Err(format!(
            "{name} cannot be '{text}': it is a number, or use ENTRYPOINT_WAIT_TIMEOUT instead"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(pairs: &[(&str, &str)]) -> Result<(Variables, Vec<String>), String> {
        let mut variables = Variables::from_pairs(pairs.iter().copied());
        let warnings = translate(&mut variables)?;
        Ok((variables, warnings))
    }

    #[test]
    fn the_images_variables_mean_the_same_here() {
        for (pairs, name, value) in [
            (
                &[("_AIRFLOW_DB_MIGRATE", "true")][..],
                "ENTRYPOINT_MIGRATE",
                Some("auto"),
            ),
            (
                &[("_AIRFLOW_DB_UPGRADE", "1")],
                "ENTRYPOINT_MIGRATE",
                Some("auto"),
            ),
            (&[("_AIRFLOW_DB_MIGRATE", "")], "ENTRYPOINT_MIGRATE", None),
            (
                &[
                    ("_AIRFLOW_DB_MIGRATE", "true"),
                    ("ENTRYPOINT_MIGRATE", "never"),
                ],
                "ENTRYPOINT_MIGRATE",
                Some("never"),
            ),
            (
                &[("CONNECTION_CHECK_MAX_COUNT", "10")],
                "ENTRYPOINT_WAIT_TIMEOUT",
                Some("30000ms"),
            ),
            (
                &[("CONNECTION_CHECK_SLEEP_TIME", "0.5")],
                "ENTRYPOINT_WAIT_TIMEOUT",
                Some("10000ms"),
            ),
            (
                &[("CONNECTION_CHECK_MAX_COUNT", "0")],
                "ENTRYPOINT_WAIT_TIMEOUT",
                Some("0ms"),
            ),
            (&[], "ENTRYPOINT_WAIT_TIMEOUT", None),
            (
                &[("DUMB_INIT_SETSID", "0")],
                "ENTRYPOINT_SIGNAL_SCOPE",
                Some("main"),
            ),
            (
                &[("DUMB_INIT_SETSID", "1")],
                "ENTRYPOINT_SIGNAL_SCOPE",
                None,
            ),
            (
                &[("_AIRFLOW_WWW_USER_CREATE", "true")],
                "ENTRYPOINT_ADMIN_USERNAME",
                Some("admin"),
            ),
            (
                &[("_AIRFLOW_WWW_USER_CREATE", "true")],
                "ENTRYPOINT_ADMIN_ROLE",
                Some("Admin"),
            ),
            (
                &[
                    ("_AIRFLOW_WWW_USER_CREATE", "1"),
                    ("_AIRFLOW_WWW_USER_PASSWORD", "ssm:///x"),
                ],
                "ENTRYPOINT_ADMIN_PASSWORD",
                Some("ssm:///x"),
            ),
            (
                &[
                    ("_AIRFLOW_WWW_USER_CREATE", "1"),
                    ("ENTRYPOINT_ADMIN_EMAIL", "own@example.com"),
                ],
                "ENTRYPOINT_ADMIN_EMAIL",
                Some("own@example.com"),
            ),
            (
                &[("_AIRFLOW_WWW_USER_PASSWORD", "x")],
                "ENTRYPOINT_ADMIN_PASSWORD",
                None,
            ),
        ] {
            let (variables, _) = translated(pairs).unwrap();
            assert_eq!(variables.text(name), value, "{pairs:?}");
        }
    }

    #[test]
    fn what_the_image_does_in_silence_is_said_or_refused() {
        let (_, warnings) = translated(&[("_AIRFLOW_DB_MIGRATE", "false")]).unwrap();
        assert!(
            warnings[0].contains("ENTRYPOINT_MIGRATE=never"),
            "{warnings:?}"
        );
        let (_, warnings) = translated(&[("_AIRFLOW_WWW_USER_PASSWORD", "marked")]).unwrap();
        assert!(
            warnings[0].contains("_AIRFLOW_WWW_USER_CREATE"),
            "{warnings:?}"
        );
        assert!(!warnings[0].contains("marked"), "{warnings:?}");

        for (pairs, named) in [
            (
                &[
                    ("_AIRFLOW_WWW_USER_CREATE", "1"),
                    ("_AIRFLOW_WWW_USER_PASSWORD_CMD", "cat /marked"),
                ][..],
                "_AIRFLOW_WWW_USER_PASSWORD_CMD is a line for a shell",
            ),
            (
                &[("CONNECTION_CHECK_MAX_COUNT", "many")],
                "CONNECTION_CHECK_MAX_COUNT cannot be 'many'",
            ),
            (
                &[("CONNECTION_CHECK_SLEEP_TIME", "-1")],
                "CONNECTION_CHECK_SLEEP_TIME cannot be '-1'",
            ),
            (&[("_PIP_ADDITIONAL_REQUIREMENTS", "x")], "build an image"),
        ] {
            let why = translated(pairs).unwrap_err();
            assert!(why.contains(named) && !why.contains("marked"), "{why}");
        }
    }
}

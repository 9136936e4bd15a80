//! Errors of KMS, which S3 passes on: by code, or inside the message of an AccessDenied.

use super::{Answer, Kind, Request, unavailable};

/// What went wrong when KMS had a part in it.
pub(super) fn trouble(request: &Request<'_>, answer: &Answer) -> Option<(Kind, String)> {
    let message = &answer.message;
    let of_kms = answer.code.starts_with("KMS.")
        || message.contains("kms:")
        || message.contains("ciphertext refers")
        || message.contains("AWS KMS")
        || message.contains("KMS key");
    if !of_kms {
        return None;
    }
    let said = answer.said();
    if answer.code.contains("Throttling")
        || answer.code == "SlowDown"
        || message.contains("exceed the rate")
    {
        return Some((
            Kind::KmsThrottled,
            format!(
                "KMS throttles S3's decrypting ({said}): switch on S3 Bucket Keys, or ask for a higher quota of KMS requests"
            ),
        ));
    }
    if answer.status >= 500 {
        return Some(unavailable(request, &said));
    }
    let key = key_arn(message).unwrap_or("the key that encrypts it");
    let fix = match answer.code.as_str() {
        "KMS.DisabledException"
        | "KMS.NotFoundException"
        | "KMS.KMSInvalidStateException"
        | "KMS.InvalidStateException" => {
            format!("the key cannot be used: enable or restore {key}")
        }
        _ => format!(
            "kms:Decrypt is denied: grant it on {key}, in the task role's policy and in the key's"
        ),
    };
    Some((Kind::KmsDenied, format!("{fix} ({said})")))
}

fn key_arn(message: &str) -> Option<&str> {
    let start = message.find("arn:")?;
    message[start..]
        .split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | ')'))
        .map(|arn| arn.trim_end_matches('.'))
        .find(|arn| arn.contains(":kms:"))
        .or_else(|| key_arn(&message[start + 4..]))
}

//! `s3://BUCKET/PREFIX`, with the rule that a prefix means `PREFIX/`.

use std::fmt;
use std::str::FromStr;

/// A bucket and a prefix that is empty or ends in `/`, so that `s3://b/dags` never takes in
/// `dags-old/`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Location {
    /// The bucket's name, or the alias of an access point.
    pub bucket: String,
    /// Empty, or ends in `/`.
    pub prefix: String,
}

impl Location {
    /// The URI of a key below the prefix, for messages. Control characters are escaped: keys may
    /// hold line feeds, and messages are one line.
    pub fn uri_of(&self, key: &str) -> String {
        let mut uri = self.to_string();
        for c in key.chars() {
            if c.is_control() {
                uri.extend(c.escape_default());
            } else {
                uri.push(c);
            }
        }
        uri
    }
}

impl Location {
    /// A bucket of S3 Express One Zone: lists in no order, and its ETags are no MD5.
    pub(super) fn is_directory_bucket(&self) -> bool {
        self.bucket.ends_with("--x-s3")
    }
}

impl FromStr for Location {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix("s3://") else {
            return Err(format!(
                "`{}` is no S3 URI: write s3://BUCKET/PREFIX",
                text.escape_debug()
            ));
        };
        if rest.starts_with("arn:") {
            return Err("an ARN is not taken: write the access point's alias as the bucket, s3://ALIAS/PREFIX".into());
        }
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        check_bucket(bucket)?;
        if prefix.chars().any(char::is_control) {
            return Err("the prefix holds a control character".into());
        }
        let mut prefix = prefix.to_owned();
        if !prefix.is_empty() && !prefix.ends_with('/') {
            prefix.push('/');
        }
        // A key has at most 1,024 bytes, and one below the prefix needs one of them.
        if prefix.len() > 1023 {
            return Err(format!(
                "the prefix has {} bytes, and an S3 key at most 1,024",
                prefix.len()
            ));
        }
        Ok(Self {
            bucket: bucket.to_owned(),
            prefix,
        })
    }
}

/// S3's own naming rules, but for the least length, which other stores do not ask for. They also
/// keep a bucket's name harmless in a host name.
fn check_bucket(bucket: &str) -> Result<(), String> {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let fine = (1..=63).contains(&bucket.len())
        && bucket.bytes().all(|c| inner(c) || c == b'-' || c == b'.')
        && bucket.bytes().next().is_some_and(inner)
        && bucket.bytes().last().is_some_and(inner)
        && !bucket.contains("..");
    if fine {
        return Ok(());
    }
    Err(format!(
        "`{}` is no bucket name: it takes up to 63 lower-case letters, digits, dots and hyphens, as in s3://BUCKET/PREFIX",
        bucket.escape_debug()
    ))
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_means_the_directory_of_that_name() {
        for (text, bucket, prefix) in [
            ("s3://bucket", "bucket", ""),
            ("s3://bucket/", "bucket", ""),
            ("s3://bucket/dags", "bucket", "dags/"),
            ("s3://bucket/dags/", "bucket", "dags/"),
            ("s3://bucket/a/b c+%é", "bucket", "a/b c+%é/"),
            (
                "s3://my.bucket-1--use1-az4--x-s3/d",
                "my.bucket-1--use1-az4--x-s3",
                "d/",
            ),
        ] {
            let location: Location = text.parse().unwrap();
            assert_eq!(
                (location.bucket.as_str(), location.prefix.as_str()),
                (bucket, prefix)
            );
            let again: Location = location.to_string().parse().unwrap();
            assert_eq!(again, location);
        }
    }

    #[test]
    fn what_is_no_location_is_refused_in_one_line() {
        let long = format!("s3://bucket/{}", "x".repeat(1024));
        for text in [
            "",
            "bucket/dags",
            "/dags",
            "S3://bucket/dags",
            "https://bucket/dags",
            "s3://",
            "s3:///dags",
            "s3://Bucket/x",
            "s3://buck_et/x",
            "s3://-bucket",
            "s3://bucket.",
            "s3://bu..cket",
            "s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/dags",
            "s3://bucket/a\nb",
            "x\ny",
            &long,
        ] {
            let refused = text.parse::<Location>().unwrap_err();
            assert!(
                !refused.contains('\n') && !refused.is_empty(),
                "{text:?}: {refused}"
            );
        }
    }

    #[test]
    fn a_key_in_a_message_stays_on_one_line() {
        let location: Location = "s3://bucket/dags".parse().unwrap();
        assert_eq!(
            location.uri_of("a\nb\u{0}é.py"),
            "s3://bucket/dags/a\\nb\\u{0}é.py"
        );
    }
}

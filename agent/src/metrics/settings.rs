//! The options that say where metrics go and what they are called.

use std::net::SocketAddr;

/// Stands for the binary's name as a default, until [`crate::settings::parse`] knows it.
pub(crate) const OWN_NAME: &str = "BINARY";

/// Where metrics go, and their namespace and dimensions.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Metrics")]
pub struct MetricsSettings {
    /// Where metrics go
    #[arg(long, value_enum, value_name = "SINK", default_value = "none")]
    pub metrics: Sink,
    /// CloudWatch's namespace
    #[arg(long, value_name = "NAME", default_value = "Trimtab", value_parser = namespace)]
    pub namespace: String,
    /// Dimension Environment
    #[arg(long, value_name = "NAME", default_value = "default", value_parser = dimension)]
    pub environment: String,
    /// Dimension Service
    #[arg(long, value_name = "NAME", default_value = OWN_NAME, value_parser = dimension)]
    pub service: String,
    /// Where prometheus is served
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9464", value_parser = address)]
    pub listen: SocketAddr,
}

/// Where metrics go.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sink {
    /// Nowhere
    None,
    /// JSON lines on stdout, which the awslogs driver makes metrics of
    Emf,
    /// CloudWatch's API
    Cloudwatch,
    /// Served at --listen
    Prometheus,
}

/// What CloudWatch takes: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html>.
fn namespace(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_/#:".contains(&byte);
    if matches!(text.len(), 1..=255)
        && text.bytes().all(allowed)
        && !text.starts_with("AWS/")
        && !text.starts_with(':')
    {
        return Ok(text.to_owned());
    }
    Err(
        "a namespace has 1 to 255 letters, digits and . - _ / # : and does not begin with AWS/"
            .to_owned(),
    )
}

/// What CloudWatch takes: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_Dimension.html>.
fn dimension(text: &str) -> Result<String, String> {
    let printable = text
        .bytes()
        .all(|byte| byte == b' ' || byte.is_ascii_graphic());
    if matches!(text.len(), 1..=1024)
        && printable
        && !text.trim().is_empty()
        && !text.starts_with(':')
    {
        return Ok(text.to_owned());
    }
    Err(
        "a dimension has 1 to 1024 printable ASCII characters and does not begin with a colon"
            .to_owned(),
    )
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "an address is an IP address and a port, such as 127.0.0.1:9464".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cloudwatch_refuses_are_refused_before() {
        for text in ["Trimtab", "Team/Air.flow#1", "A"] {
            assert_eq!(namespace(text).as_deref(), Ok(text));
        }
        for text in ["", "AWS/ECS", "with space", ":x", "ü", &"x".repeat(256)] {
            assert!(namespace(text).is_err(), "{text}");
        }
        for text in ["prod", "s3sync", "two words", "a:b"] {
            assert_eq!(dimension(text).as_deref(), Ok(text));
        }
        for text in ["", " ", ":x", "ü", "a\nb", &"x".repeat(1025)] {
            assert!(dimension(text).is_err(), "{text}");
        }
        assert!(address("localhost:9464").is_err());
    }
}

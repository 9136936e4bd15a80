//! The names of the metrics. Each is described in `docs/entrypoint.md`.

/// 1 while the service is healthy, 0 while it is not; every minute once the service runs.
pub const SERVICE_HEALTHY: &str = "ServiceHealthy";

/// Processes of this container that the kernel killed for memory since it started.
pub const OOM_KILLS: &str = "OomKills";

/// How long the references, paths and the layout took.
pub const RESOLVE_SECONDS: &str = "ResolveSeconds";

/// How long files, Postgres and the broker were waited for.
pub const WAIT_SECONDS: &str = "WaitSeconds";

/// How long the schema took, another's migration included.
pub const MIGRATE_SECONDS: &str = "MigrateSeconds";

/// How long the administrator took.
pub const ADMIN_SECONDS: &str = "AdminSeconds";

/// How long the checks before the service took.
pub const PREFLIGHT_SECONDS: &str = "PreflightSeconds";

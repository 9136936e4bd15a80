//! The servers that AWS has for you: Postgres and Redis with TLS, S3, SSM and CloudWatch.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE;
use testkit::cloudwatch::Shim;
use testkit::moto::Moto;
use testkit::postgres::{self, Database, Postgres};
use testkit::proxy::Proxy;
use testkit::redis::{self, Redis};

/// The path of all parameters.
pub const PARAMETERS: &str = "/alerta-utec-airflow";
/// The bucket of DAGs.
pub const BUCKET: &str = "airflow-dags";
/// Who may log in to Airflow.
pub const ADMIN: &str = "admin";
/// All that a URL, a shell or Airflow's own expansion could trip over.
const DATABASE_PASSWORD: &str = "p%s~$HOME@/:'\"w";
/// Urlsafe, because a person types it into this one.
const BROKER_PASSWORD: &str = "redis-of-a-laptop";

/// The servers, running.
#[derive(Debug)]
pub struct Servers {
    /// Postgres with TLS.
    pub postgres: Postgres,
    /// Airflow's database.
    pub database: Database,
    /// Redis with TLS.
    pub redis: Redis,
    /// S3, SSM and CloudWatch.
    pub moto: Moto,
    /// What CloudWatch's SDK speaks to.
    pub cloudwatch: Shim,
    /// Before S3 alone, so that it can go away.
    pub s3: Proxy,
    /// The administrator's password.
    pub password: String,
    /// Copies of the authorities' certificates, readable for everybody.
    authorities: (PathBuf, PathBuf),
}

impl Servers {
    /// Starts them; their certificates are copied to `root`.
    pub(super) fn start(root: &Path, password: &str) -> Servers {
        let options = postgres::Options::new()
            .tls_only()
            .set("max_connections", "200")
            .set("shared_buffers", "64MB")
            .set("log_statement", "none")
            .set("log_connections", "off")
            .set("log_disconnections", "off");
        // moto takes the longest, and needs nobody.
        let moto = std::thread::spawn(Moto::start);
        let postgres = Postgres::with(&options);
        let database = postgres.database_for("airflow", "airflow", DATABASE_PASSWORD);
        let redis = Redis::with(&redis::Options::new().password(BROKER_PASSWORD).tls());
        let Ok(moto) = moto.join() else {
            panic!("moto cannot be started");
        };
        let copies = (root.join("postgres-ca.pem"), root.join("redis-ca.pem"));
        for (from, to) in [
            (postgres.authority(), &copies.0),
            (redis.authority(), &copies.1),
        ] {
            if let Err(error) = std::fs::copy(&from, to) {
                panic!(
                    "{} cannot be copied to {}: {error}",
                    from.display(),
                    to.display()
                );
            }
        }
        moto.create_bucket(BUCKET);
        let port = moto.endpoint().rsplit(':').next();
        let Some(port) = port.and_then(|port| port.parse().ok()) else {
            panic!("moto has no port: {}", moto.endpoint());
        };
        Servers {
            cloudwatch: Shim::start(moto.endpoint()),
            s3: Proxy::start(port),
            postgres,
            database,
            redis,
            moto,
            password: password.to_owned(),
            authorities: copies,
        }
    }

    /// The certificate that Postgres's is signed with.
    pub fn postgres_authority(&self) -> &Path {
        &self.authorities.0
    }

    /// Puts all that Airflow's containers fetch: the known layout, and `env/NAME` for each of `more`.
    pub(super) fn put_parameters<'a>(&self, more: impl Iterator<Item = (&'a str, &'a str)>) {
        let broker = self.broker_url();
        let port = self.database.port.to_string();
        let random = || {
            (0..48)
                .map(|_| fastrand::alphanumeric())
                .collect::<String>()
        };
        let fernet = BASE64_URL_SAFE.encode(std::array::from_fn::<u8, 32, _>(|_| fastrand::u8(..)));
        let (web, jwt) = (random(), random() + &random());
        let known = [
            ("db/host", "localhost"),
            ("db/port", port.as_str()),
            ("db/name", &self.database.name),
            ("db/username", &self.database.user),
            ("db/password", &self.database.password),
            ("db/sslmode", "verify-full"),
            ("broker-url", &broker),
            ("fernet-key", &fernet),
            ("webserver/secret-key", &web),
            ("jwt-secret", &jwt),
            ("admin/username", ADMIN),
            ("admin/password", &self.password),
            ("admin/email", "admin@example.com"),
        ];
        for (name, value) in known {
            self.put_parameter(name, value);
        }
        for (name, value) in more {
            self.put_parameter(&format!("env/{name}"), value);
        }
    }

    /// The broker's URL, password included: kombu's words for TLS.
    pub fn broker_url(&self) -> String {
        format!(
            "rediss://:{BROKER_PASSWORD}@localhost:{}/0?ssl_cert_reqs=CERT_REQUIRED&ssl_ca_certs={}",
            self.redis.tls_port(),
            self.authorities.1.display()
        )
    }

    /// Puts one parameter below [`PARAMETERS`].
    pub fn put_parameter(&self, name: &str, value: &str) {
        testkit::ssm::put(self.moto.endpoint(), &format!("{PARAMETERS}/{name}"), value);
    }

    /// Where the AWS SDKs find all this.
    pub fn environment(&self) -> Vec<(String, String)> {
        let mut variables = self.moto.environment();
        variables.push((
            "AWS_ENDPOINT_URL_S3".to_owned(),
            format!("http://127.0.0.1:{}", self.s3.port()),
        ));
        variables.push((
            "AWS_ENDPOINT_URL_CLOUDWATCH".to_owned(),
            self.cloudwatch.endpoint(),
        ));
        variables
    }
}

//! Airflow's REST API, and what its tables say.

use serde_json::{Value, json};

use crate::stack::{ADMIN, Stack};

/// The API, logged in.
#[derive(Clone, Debug)]
pub struct Api {
    url: String,
    token: String,
}

impl Api {
    /// Logs in as the administrator.
    ///
    /// # Errors
    /// What the server answered.
    pub fn login(stack: &Stack) -> Result<Api, String> {
        let url = stack.url();
        let body = json!({"username": ADMIN, "password": stack.settings.password});
        let answer = call(&format!("{url}/auth/token"), "POST", None, &body)?;
        let token = answer["access_token"].as_str().unwrap_or_default();
        match token.is_empty() {
            true => Err(format!("no token: {answer}")),
            false => Ok(Api {
                url,
                token: token.to_owned(),
            }),
        }
    }

    /// Calls `/api/v2` and PATH.
    ///
    /// # Errors
    /// What the server answered.
    pub fn call(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let url = format!("{}/api/v2{path}", self.url);
        call(&url, method, Some(&self.token), body)
    }

    /// Lets a DAG run.
    ///
    /// # Errors
    /// What the server answered.
    pub fn unpause(&self, dag: &str) -> Result<(), String> {
        let body = json!({"is_paused": false});
        self.call("PATCH", &format!("/dags/{dag}"), &body).map(drop)
    }

    /// Starts a run; its id.
    ///
    /// # Errors
    /// What the server answered.
    pub fn trigger(&self, dag: &str, run: &str, conf: &Value) -> Result<(), String> {
        let body = json!({"dag_run_id": run, "logical_date": null, "conf": conf});
        self.call("POST", &format!("/dags/{dag}/dagRuns"), &body)
            .map(drop)
    }
}

fn call(url: &str, method: &str, token: Option<&str>, body: &Value) -> Result<Value, String> {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let mut headers = vec![("content-type", "application/json")];
    if let Some(bearer) = &bearer {
        headers.push(("authorization", bearer));
    }
    let text = body.to_string();
    let answer = testkit::http::request(method, url, &headers, text.as_bytes())
        .map_err(|error| format!("{method} {url}: {error:#}"))?;
    match answer.status {
        200..300 => Ok(serde_json::from_slice(&answer.body).unwrap_or(Value::Null)),
        status => Err(format!("{method} {url}: {status}: {}", answer.text())),
    }
}

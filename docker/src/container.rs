//! What a container is told, be it by a task definition or by the compose file.

use crate::parser::{Map, Program};

/// A container.
#[derive(Clone, Debug, Default)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Its image.
    pub image: String,
    /// In place of the image's ENTRYPOINT; empty where the image's holds.
    pub entry_point: Vec<String>,
    /// Its command.
    pub command: Vec<String>,
    /// Its variables. A secret of a task definition has a value that stands for it.
    pub variables: Map,
    /// Its health check, without `CMD`; empty where there is none.
    pub health_check: Vec<String>,
}

impl Container {
    /// Which of the programs is its PID 1, if one is.
    pub fn program(&self) -> Option<Program> {
        match (self.entry_point.first(), self.short_image()) {
            (Some(path), _) => Program::at(path),
            // Ours; in Airflow's own image a script has that name.
            (None, "airflow") if !self.image.starts_with("apache/") => Some(Program::Entrypoint),
            (None, program) => Program::at(&format!("/{program}")),
        }
    }

    /// The image without registry and tag.
    pub fn short_image(&self) -> &str {
        let name = self.image.rsplit('/').next().unwrap_or_default();
        name.split([':', '@']).next().unwrap_or_default()
    }

    /// What its program and its health check refuse or warn of, and whether either is none of ours.
    pub fn complaints(&self) -> Vec<String> {
        let mut arguments = self.entry_point.get(1..).unwrap_or_default().to_vec();
        arguments.extend(self.command.iter().cloned());
        let mut complaints = match self.program() {
            Some(program) => program.complaints(&arguments, &self.variables),
            None => vec!["its PID 1 is none of the programs".to_owned()],
        };
        complaints.extend(match self.health_check.split_first() {
            Some((path, checks)) if Program::at(path) == Some(Program::Healthcheck) => {
                Program::Healthcheck.complaints(checks, &self.variables)
            }
            _ => vec!["its health check is not /healthcheck".to_owned()],
        });
        complaints
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_known_by_its_last_name() {
        for (image, short) in [
            ("s3sync", "s3sync"),
            ("registry.example:5000/team/s3sync:0.1.0", "s3sync"),
            ("registry.example/airflow@sha256:00", "airflow"),
        ] {
            let container = Container {
                image: image.to_owned(),
                ..Container::default()
            };
            assert_eq!(container.short_image(), short);
        }
    }
}

//! The task definitions of a page: its JSON blocks that have `containerDefinitions`.

use serde_json::Value;

use crate::container::Container;
use crate::parser::Map;

/// What stands for a secret's value, which ECS alone knows: those of the page are brokers' URLs.
const A_SECRET: &str = "rediss://user:password@broker:6379/0";

/// The blocks of a page that are JSON.
///
/// # Panics
/// When one is not.
pub fn blocks(page: &str) -> Vec<Value> {
    let blocks = page.split("\n```json\n").skip(1);
    let parse = |block: &str| {
        let text = block.split("\n```").next().unwrap_or_default();
        match serde_json::from_str(text) {
            Ok(value) => value,
            Err(why) => panic!("a JSON block of the page is none: {why}:\n{text}"),
        }
    };
    blocks.map(parse).collect()
}

/// The task definitions among them.
pub fn tasks(page: &str) -> Vec<Value> {
    let mut blocks = blocks(page);
    blocks.retain(|block| block.get("containerDefinitions").is_some());
    blocks
}

/// The containers that a page shows alone, without the task around them.
///
/// # Panics
/// When a block is no JSON.
pub fn alone(page: &str) -> Vec<Container> {
    let blocks = blocks(page);
    let shown = blocks.iter().filter(|block| block.get("image").is_some());
    shown.map(container).collect()
}

/// The containers of a task definition.
pub fn containers(task: &Value) -> Vec<Container> {
    let definitions = task["containerDefinitions"].as_array();
    definitions.into_iter().flatten().map(container).collect()
}

fn container(definition: &Value) -> Container {
    let mut health_check = strings(&definition["healthCheck"]["command"]);
    if health_check.first().is_some_and(|word| word == "CMD") {
        health_check.remove(0);
    }
    let mut variables = pairs(&definition["environment"], "value");
    let secrets = pairs(&definition["secrets"], "valueFrom").into_keys();
    variables.extend(secrets.map(|name| (name, A_SECRET.to_owned())));
    Container {
        name: text(&definition["name"]),
        image: text(&definition["image"]),
        entry_point: strings(&definition["entryPoint"]),
        command: strings(&definition["command"]),
        variables,
        health_check,
    }
}

fn pairs(list: &Value, value: &str) -> Map {
    let list = list.as_array().into_iter().flatten();
    list.map(|pair| (text(&pair["name"]), text(&pair[value])))
        .collect()
}

/// The strings of a list.
pub fn strings(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().map(text).collect()
}

/// A string, empty where it is none.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_gives_its_task_definitions() {
        let page = "x\n```json\n{\"a\":1}\n```\ny\n```json\n{\"containerDefinitions\":[{\"name\":\"n\",\
            \"image\":\"r/s3sync:1\",\"command\":[\"watch\"],\"healthCheck\":{\"command\":[\"CMD\",\"/h\"]},\
            \"environment\":[{\"name\":\"A\",\"value\":\"1\"}]}]}\n```\n";
        assert_eq!(blocks(page).len(), 2);
        let tasks = tasks(page);
        assert_eq!(tasks.len(), 1);
        let containers = containers(&tasks[0]);
        assert_eq!(containers[0].health_check, ["/h"]);
        assert_eq!(containers[0].variables["A"], "1");
    }

    #[test]
    #[should_panic(expected = "is none")]
    fn a_block_that_is_no_json_is_named() {
        blocks("x\n```json\n{\n```\n");
    }
}

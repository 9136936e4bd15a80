use super::*;

fn looked_for(program: &str, path: Option<&str>) -> Vec<String> {
    let variables: Vec<(OsString, OsString)> = path
        .map(|path| ("PATH".into(), path.into()))
        .into_iter()
        .collect();
    candidates(OsStr::new(program), &variables)
        .into_iter()
        .map(|file| file.into_string().unwrap())
        .collect()
}

#[test]
fn a_name_is_looked_for_in_the_childs_path_and_a_path_is_taken_as_it_is() {
    for (program, path, expected) in [
        ("a", Some("/x:/y"), vec!["/x/a", "/y/a"]),
        ("a", Some("/x::/y"), vec!["/x/a", "./a", "/y/a"]),
        ("a", None, vec!["/bin/a", "/usr/bin/a"]),
        ("./a", Some("/x"), vec!["./a"]),
        ("/b/a", None, vec!["/b/a"]),
        ("", Some("/x"), vec![]),
    ] {
        assert_eq!(looked_for(program, path), expected, "{program} in {path:?}");
    }
}

#[test]
fn debug_shows_no_variable_and_no_argument() {
    let mut launch = Launch::new(
        "airflow",
        vec!["argument".into()],
        vec![("NAME".into(), "value".into())],
    );
    launch.input = Input::Bytes(b"input".to_vec());
    let shown = format!("{launch:?}");
    for secret in ["argument", "value", "input"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

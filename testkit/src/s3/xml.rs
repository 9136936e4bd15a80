//! The small XML documents that clients send.

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;

use super::error::Refusal;

/// An element, its text and its children; attributes and namespaces are of no interest.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Element {
    name: String,
    text: String,
    children: Vec<Element>,
}

impl Element {
    /// The root element of a document.
    pub(super) fn parse(document: &[u8]) -> Result<Element, Refusal> {
        let mut reader = Reader::from_reader(document);
        let mut open: Vec<Element> = vec![Element::default()];
        loop {
            match reader.read_event().map_err(|_| Refusal::malformed_xml())? {
                Event::Start(tag) => open.push(Element {
                    name: String::from_utf8_lossy(tag.local_name().as_ref()).into_owned(),
                    ..Element::default()
                }),
                Event::Empty(tag) => {
                    let name = String::from_utf8_lossy(tag.local_name().as_ref()).into_owned();
                    if let Some(parent) = open.last_mut() {
                        parent.children.push(Element {
                            name,
                            ..Element::default()
                        });
                    }
                }
                Event::End(_) => {
                    let done = open.pop().ok_or_else(Refusal::malformed_xml)?;
                    open.last_mut()
                        .ok_or_else(Refusal::malformed_xml)?
                        .children
                        .push(done);
                }
                Event::Text(text) => {
                    let text = text.decode().map_err(|_| Refusal::malformed_xml())?;
                    if let Some(element) = open.last_mut() {
                        element.text.push_str(&text);
                    }
                }
                Event::GeneralRef(reference) => {
                    let character = reference
                        .resolve_char_ref()
                        .map_err(|_| Refusal::malformed_xml())?;
                    let name = reference.decode().map_err(|_| Refusal::malformed_xml())?;
                    if let Some(element) = open.last_mut() {
                        match (character, resolve_predefined_entity(&name)) {
                            (Some(character), _) => element.text.push(character),
                            (None, Some(text)) => element.text.push_str(text),
                            (None, None) => return Err(Refusal::malformed_xml()),
                        }
                    }
                }
                Event::Eof => break,
                _ => {}
            }
        }
        let root = open.pop().and_then(|mut outer| outer.children.pop());
        root.filter(|_| open.is_empty())
            .ok_or_else(Refusal::malformed_xml)
    }

    /// The children of that name.
    pub(super) fn children<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The text of the first child of that name.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.children
            .iter()
            .find(|child| child.name == name)
            .map(|child| child.text.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_read_with_its_references() {
        let document = Element::parse(
            b"<?xml version='1.0'?><Delete xmlns='x'><Object><Key>a&amp;b&#x1;c</Key></Object>\
              <Quiet/></Delete>",
        )
        .unwrap();
        let object = document.children("Object").next().unwrap();
        assert_eq!(object.text("Key"), Some("a&b\u{1}c"));
        assert_eq!(document.text("Quiet"), Some(""));
        assert!(Element::parse(b"<a><b></a>").is_err());
    }
}

//! Stamps the program with its commit, and makes it smaller.

fn main() {
    stamp::stamp();
    stamp::make_smaller();
}

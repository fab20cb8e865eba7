//! The live view: what the mesh does, once a second, on one screen.

mod draw;
mod model;
mod scrape;
mod terminal;

pub use self::{
    model::{Looker, Model, Row},
    scrape::{Facts, Scraper},
    terminal::{Key, run},
};

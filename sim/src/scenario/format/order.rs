//! In which order the keys of a table are usually written: that of the language's tables.

use backroom_collector::config::shape::{Key, Shape, Ty};

use crate::{fault::table, scenario::shapes::TOP};

/// The keys of the table at a path, those of a fault by its kind; none where names are the author's own, as in `[vars]` or
/// `[sweep.grid]`: their order may mean something.
pub(super) fn keys_at(path: &[String], kind: Option<&str>) -> Vec<&'static Key> {
    let mut keys: Vec<&'static Key> = TOP.keys.iter().collect();
    let mut parts = path.iter();
    while let Some(part) = parts.next() {
        let Some(key) = keys.iter().find(|key| key.name == *part) else {
            return Vec::new();
        };
        if part == "fault" {
            let kind = kind.and_then(table::find);
            keys = match kind {
                Some(kind) => kind.keys().collect(),
                None => table::COMMON.iter().collect(),
            };
            continue;
        }
        let found = match key.ty {
            // The name of the machine, the link, the class.
            Ty::Named(shape) => parts.next().map(|_| shape),
            ty => shape_of(&ty),
        };
        match found {
            Some(shape) => keys = shape.keys.iter().collect(),
            None => return Vec::new(),
        }
    }
    keys
}

/// The keys of a table of this type.
pub(super) fn shape_of(ty: &Ty) -> Option<&'static Shape> {
    match ty {
        Ty::Table(shape) | Ty::Tables(shape) => Some(shape),
        Ty::Either(all) => all.iter().find_map(shape_of),
        _ => None,
    }
}

//! A flow as a picture: boxes in columns, each as far to the right as its longest way from the request.
//!
//! Plain SVG with the reader's own colours for dark and light. Names are letters, digits, `-` and `_`, so nothing in them
//! needs escaping.

use std::fmt::Write;

/// What is drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chart {
    /// In an order in which each comes after those it needs.
    pub stages: Vec<ChartStage>,
    /// Whose outputs make the answer.
    pub ends: Vec<usize>,
    /// From top to bottom instead of from left to right.
    pub is_vertical: bool,
}

/// One stage of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChartStage {
    /// Its name.
    pub name: String,
    /// Places of those that it needs.
    pub needs: Vec<usize>,
    /// Whether it takes the request itself.
    pub takes_request: bool,
}

const LETTER: usize = 8;
const PADDING: usize = 24;
const HEIGHT: usize = 40;
const GAP: usize = 56;
const MARGIN: usize = 16;

/// A box: its column, its place in it, and where that is.
#[derive(Debug, Clone, Default)]
struct Node {
    name: String,
    column: usize,
    row: usize,
    x: usize,
    y: usize,
    width: usize,
    is_end: bool,
}

/// The picture.
pub fn svg(chart: &Chart) -> String {
    let (nodes, edges) = lay_out(chart);
    let right = nodes.iter().map(|node| node.x + node.width).max().unwrap_or(0) + MARGIN;
    let bottom = nodes.iter().map(|node| node.y + HEIGHT).max().unwrap_or(0) + MARGIN;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {right} {bottom}\" width=\"{right}\" height=\"{bottom}\" role=\"img\" aria-label=\"flow\">\n\
         <style>\n\
         rect {{ fill: #eef4ff; stroke: #3b6fd4 }} .end {{ fill: #f4f4f4; stroke: #777 }} path {{ fill: none; stroke: #777 }}\n\
         text {{ font: 13px monospace; text-anchor: middle; fill: #111 }}\n\
         @media (prefers-color-scheme: dark) {{ rect {{ fill: #16233d }} .end {{ fill: #2a2a2a }} text {{ fill: #eee }} }}\n\
         </style>\n\
         <defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" orient=\"auto\"><path d=\"M0 0L8 4L0 8\"/></marker></defs>\n"
    );
    let mut line = |arguments: std::fmt::Arguments<'_>| {
        // Writing to a string does not fail.
        let _written = text.write_fmt(arguments);
    };
    for (from, to) in edges.iter().filter_map(|(from, to)| nodes.get(*from).zip(nodes.get(*to))) {
        let (x1, y1, x2, y2) = if chart.is_vertical {
            (from.x + from.width / 2, from.y + HEIGHT, to.x + to.width / 2, to.y)
        } else {
            (from.x + from.width, from.y + HEIGHT / 2, to.x, to.y + HEIGHT / 2)
        };
        if chart.is_vertical {
            let middle = usize::midpoint(y1, y2);
            line(format_args!(
                "<path d=\"M{x1} {y1}C{x1} {middle} {x2} {middle} {x2} {y2}\" marker-end=\"url(#tip)\"/>\n"
            ));
        } else {
            let middle = usize::midpoint(x1, x2);
            line(format_args!(
                "<path d=\"M{x1} {y1}C{middle} {y1} {middle} {y2} {x2} {y2}\" marker-end=\"url(#tip)\"/>\n"
            ));
        }
    }
    for Node { name, x, y, width, is_end, .. } in &nodes {
        let class = if *is_end { " class=\"end\"" } else { "" };
        let (middle, baseline) = (x + width / 2, y + HEIGHT / 2 + 5);
        line(format_args!(
            "<rect{class} x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{HEIGHT}\" rx=\"6\"/><text x=\"{middle}\" y=\"{baseline}\">{name}</text>\n"
        ));
    }
    text.push_str("</svg>\n");
    text
}

/// Boxes with their places, the request first and the answer last, and which ones a line joins.
fn lay_out(chart: &Chart) -> (Vec<Node>, Vec<(usize, usize)>) {
    let end = |name: &str| Node { name: name.to_owned(), is_end: true, ..Node::default() };
    let (mut nodes, mut edges) = (vec![end("request")], Vec::new());
    for (stage, place) in chart.stages.iter().zip(1..) {
        let needs = stage.needs.iter().map(|need| need + 1).filter(|need| *need < place);
        let from: Vec<usize> = stage.takes_request.then_some(0).into_iter().chain(needs).collect();
        let column =
            from.iter().filter_map(|need| nodes.get(*need)).map(|node| node.column).max().unwrap_or(0) + 1;
        edges.extend(from.iter().map(|need| (*need, place)));
        nodes.push(Node { name: stage.name.clone(), column, ..Node::default() });
    }
    let last = nodes.iter().map(|node| node.column).max().unwrap_or(0) + 1;
    edges.extend(chart.ends.iter().map(|place| (place + 1, nodes.len())));
    nodes.push(Node { column: last, ..end("answer") });
    let mut filled = vec![0; last + 1];
    let mut widths = vec![0; last + 1];
    for node in &mut nodes {
        node.width = node.name.chars().count() * LETTER + PADDING;
        if let (Some(count), Some(width)) = (filled.get_mut(node.column), widths.get_mut(node.column)) {
            node.row = *count;
            *count += 1;
            *width = node.width.max(*width);
        }
    }
    place(&mut nodes, &widths, chart.is_vertical);
    (nodes, edges)
}

fn place(nodes: &mut [Node], widths: &[usize], is_vertical: bool) {
    let mut starts = Vec::with_capacity(widths.len());
    let mut x = MARGIN;
    for width in widths {
        starts.push(x);
        x += width + GAP;
    }
    let widest = widths.iter().copied().max().unwrap_or(0);
    for node in nodes {
        if is_vertical {
            node.x = MARGIN + node.row * (widest + MARGIN);
            node.y = MARGIN + node.column * (HEIGHT + GAP);
        } else {
            node.x = starts.get(node.column).copied().unwrap_or(MARGIN);
            node.y = MARGIN + node.row * (HEIGHT + MARGIN);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(is_vertical: bool) -> Chart {
        let stage = |name: &str, needs: &[usize], takes_request: bool| ChartStage {
            name: name.to_owned(),
            needs: needs.to_vec(),
            takes_request,
        };
        let stages = vec![
            stage("split", &[], true),
            stage("left", &[0], false),
            stage("a-long-name", &[0], false),
            stage("join", &[1, 2], true),
        ];
        Chart { stages, ends: vec![3], is_vertical }
    }

    #[test]
    fn boxes_stand_behind_what_they_need() {
        let (nodes, edges) = lay_out(&chart(false));
        let places: Vec<_> = nodes.iter().map(|node| (node.name.as_str(), node.column, node.row)).collect();
        assert_eq!(
            places,
            [
                ("request", 0, 0),
                ("split", 1, 0),
                ("left", 2, 0),
                ("a-long-name", 2, 1),
                ("join", 3, 0),
                ("answer", 4, 0)
            ]
        );
        assert_eq!(edges, [(0, 1), (1, 2), (1, 3), (0, 4), (2, 4), (3, 4), (4, 5)]);
        for (from, to) in edges {
            assert!(nodes[from].x + nodes[from].width < nodes[to].x);
        }
    }

    #[test]
    fn boxes_do_not_overlap() {
        for is_vertical in [false, true] {
            let (nodes, _) = lay_out(&chart(is_vertical));
            for (a, b) in
                nodes.iter().enumerate().flat_map(|(i, a)| nodes.iter().skip(i + 1).map(move |b| (a, b)))
            {
                let apart = a.x + a.width <= b.x
                    || b.x + b.width <= a.x
                    || a.y + HEIGHT <= b.y
                    || b.y + HEIGHT <= a.y;
                assert!(apart, "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn the_picture() {
        insta::assert_snapshot!(svg(&chart(false)));
    }
}

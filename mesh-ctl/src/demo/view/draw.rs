//! One [`Model`] as a screen.

use std::time::Duration;

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Borders, Cell, Gauge, Paragraph, Row, Table},
};

use super::Model;
use crate::mesh::process::State;

const GOOD: Color = Color::Green;
const BAD: Color = Color::Red;
const DIM: Color = Color::DarkGray;

/// Draws everything. `where_to_edit` is told at the bottom.
pub(super) fn draw(frame: &mut Frame<'_>, model: &Model, where_to_edit: &str) {
    let refused: Vec<Line<'_>> = model.facts.refused.iter().flat_map(|error| error.lines()).map(Line::from).collect();
    let refused_height = if refused.is_empty() { 0 } else { u16::try_from(refused.len() + 2).unwrap_or(u16::MAX).min(12) };
    let [top, middle, alarm, bottom, foot] = Layout::vertical([
        Constraint::Length(7),
        Constraint::Min(8),
        Constraint::Length(refused_height),
        Constraint::Length(u16::try_from(model.processes.len() + 2).unwrap_or(u16::MAX).min(frame.area().height / 2)),
        Constraint::Length(2),
    ])
    .areas(frame.area());
    let [traffic_area, split_area] = Layout::horizontal([Constraint::Percentage(45), Constraint::Percentage(55)]).areas(top);
    let [hops_area, certificates_area] = Layout::horizontal([Constraint::Percentage(55), Constraint::Percentage(45)]).areas(middle);
    traffic(frame, traffic_area, model);
    split(frame, split_area, model);
    hops(frame, hops_area, model);
    certificates(frame, certificates_area, model);
    if !refused.is_empty() {
        let title = block("the YAML is refused, the last good one stays in force").border_style(Style::new().fg(BAD));
        frame.render_widget(Paragraph::new(refused).block(title), alarm);
    }
    processes(frame, bottom, model);
    let help =
        format!("edit {where_to_edit}/traffic.yaml and watch the split move   ·   q or Ctrl-C ends the mesh and everything it started");
    frame.render_widget(Paragraph::new(help).style(Style::new().fg(DIM)), foot);
}

fn traffic(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let seen = &model.seen;
    let (word, colour) = if seen.failures == 0 { ("all answered", GOOD) } else { ("failed", BAD) };
    let failed = if seen.failures == 0 { word.to_string() } else { format!("{} {word}", seen.failures) };
    let lines = vec![
        pair("rate", format!("{:.0} requests/s", model.rate)),
        Line::from(vec![
            label("success"),
            Span::raw(format!("{} requests, ", seen.requests)),
            Span::styled(failed, Style::new().fg(colour)),
        ]),
        pair("latency", format!("p50 {:.2?}   p99 {:.2?}", seen.p50, seen.p99)),
        pair("retries", format!("{}   ejections {}", model.facts.retries, model.facts.ejections)),
        pair("push", push(model)),
    ];
    frame.render_widget(Paragraph::new(lines).block(block("traffic through the gateway")), area);
}

fn push(model: &Model) -> String {
    let Some(push) = &model.facts.push else { return "unknown: Pilot does not answer".into() };
    let took = push.took.map_or_else(|| "on its way".to_string(), |took| format!("reached {} proxies in {took:.0?}", push.proxies));
    let revision: String = push.revision.chars().take(10).collect();
    format!("{revision} {took}, {} ago", short(push.ago))
}

fn split(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let outer = block("advertisement: who answered in the last second");
    let inside = outer.inner(area);
    frame.render_widget(outer, area);
    let rows = Layout::vertical(model.split.iter().map(|_| Constraint::Length(2))).split(inside);
    for ((version, share), row) in model.split.iter().zip(rows.iter()) {
        let gauge = Gauge::default()
            .gauge_style(Style::new().fg(if version == "v1" { Color::Cyan } else { Color::Magenta }))
            .ratio((share / 100.0).clamp(0.0, 1.0))
            .label(format!("{version}  {share:.0} %"));
        frame.render_widget(gauge, Rect { height: 1, ..*row });
    }
}

fn hops(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let rows = model.facts.hops.iter().map(|((from, to), hop)| {
        let (text, colour) = if hop.plain == 0 { ("mTLS", GOOD) } else { ("not all mTLS", BAD) };
        Row::new([
            Cell::new(format!("{from} → {to}")),
            Cell::new((hop.mutual_tls + hop.plain).to_string()),
            Cell::new(text).style(Style::new().fg(colour)),
        ])
    });
    let table = Table::new(rows, [Constraint::Min(30), Constraint::Length(10), Constraint::Length(13)])
        .header(Row::new(["hop", "requests", "security"]).style(Style::new().fg(DIM)))
        .block(block("hops, as the callee's proxy saw them"));
    frame.render_widget(table, area);
}

fn certificates(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let rows = model.facts.certificates.iter().map(|(name, certificate)| {
        Row::new([name.clone(), format!("{} old", short(certificate.age)), format!("{} left", short(certificate.remaining))])
    });
    let table = Table::new(rows, [Constraint::Min(18), Constraint::Length(10), Constraint::Length(10)]).block(block("certificates"));
    frame.render_widget(table, area);
}

fn processes(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let rows = model.processes.iter().map(|row| {
        let colour = match row.state {
            State::Ready(_) => GOOD,
            State::Starting => Color::Yellow,
            State::Ended(_) => BAD,
        };
        Row::new([Cell::new(row.name.to_string()), Cell::new(row.state_text()).style(Style::new().fg(colour)), Cell::new(short(row.age))])
    });
    let table = Table::new(rows, [Constraint::Length(26), Constraint::Min(20), Constraint::Length(8)]).block(block("processes"));
    frame.render_widget(table, area);
}

fn block(title: &'static str) -> Block<'static> {
    Block::new()
        .borders(Borders::ALL)
        .border_style(Style::new().fg(DIM))
        .title(Span::styled(title, Style::new().add_modifier(Modifier::BOLD)))
}

fn pair(name: &'static str, value: String) -> Line<'static> {
    Line::from(vec![label(name), Span::raw(value)])
}

fn label(name: &'static str) -> Span<'static> {
    Span::styled(format!("{name:>8}  "), Style::new().fg(DIM))
}

fn short(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        _ => format!("{}h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use ratatui::{Terminal, backend::TestBackend};

    use super::*;
    use crate::{demo::view::Facts, load::Seen};

    #[test]
    fn a_screen_shows_split_failures_and_ended_processes() {
        let model = Model {
            processes: vec![super::super::Row {
                name: "pilot".into(),
                state: State::Ended("signal: 9".into()),
                age: Duration::from_secs(3),
            }],
            seen: Seen { requests: 10, failures: 2, ..Seen::default() },
            rate: 123.0,
            split: [("v1".to_string(), 80.0), ("v2".to_string(), 20.0)].into(),
            facts: Facts { refused: vec!["error: unknown field `wieght`\n  --> traffic.yaml:34:11".into()], ..Facts::default() },
        };
        let mut terminal = Terminal::new(TestBackend::new(120, 30)).unwrap();
        terminal.draw(|frame| draw(frame, &model, "deploy/samples/shop")).unwrap();
        let text = terminal.backend().to_string();
        for wanted in ["v1  80 %", "v2  20 %", "2 failed", "ended: signal: 9", "123 requests/s", "traffic.yaml", "wieght", "34:11"] {
            assert!(text.contains(wanted), "{wanted} is not in\n{text}");
        }
    }
}

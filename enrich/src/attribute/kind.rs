//! The kinds of network.

/// What kind of organization a network serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NetworkKind {
    /// A company's own network.
    Business,
    /// A university, school, research institute, or the network that serves them.
    Education,
    /// An agency or another public body.
    Government,
    /// A cloud, hoster or content network: who rents there is not known.
    Hosting,
    /// An internet service provider or carrier: who subscribes is not known.
    Isp,
    /// A mobile carrier.
    Mobile,
    /// A VPN or relay.
    Vpn,
    /// A Tor exit.
    Tor,
    /// A private or reserved address.
    Private,
    /// Nothing says.
    Unknown,
}

impl NetworkKind {
    /// All kinds, in the order of their definition.
    pub const ALL: [Self; 10] = [
        Self::Business,
        Self::Education,
        Self::Government,
        Self::Hosting,
        Self::Isp,
        Self::Mobile,
        Self::Vpn,
        Self::Tor,
        Self::Private,
        Self::Unknown,
    ];

    /// The word for the column `network_kind`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Business => "business",
            Self::Education => "education",
            Self::Government => "government",
            Self::Hosting => "hosting",
            Self::Isp => "isp",
            Self::Mobile => "mobile",
            Self::Vpn => "vpn",
            Self::Tor => "tor",
            Self::Private => "private",
            Self::Unknown => "unknown",
        }
    }

    /// The kind of that word.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Whether such a network stands for one organization. The others serve many and never become one.
    pub const fn is_organization(self) -> bool {
        matches!(self, Self::Business | Self::Education | Self::Government)
    }
}

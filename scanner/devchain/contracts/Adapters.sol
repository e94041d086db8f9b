// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

// Adapters that stand between the market's oracle and the feeds: the getters of the deployed adapters' public
// interfaces and the same integer arithmetic. Parameters may be set by anybody.

interface ISource {
    function latestAnswer() external view returns (int256);
    function decimals() external view returns (uint8);
}

/// The contract that a staking token's ratio is read from.
contract RatioProvider {
    uint256 public ratio;

    constructor(uint256 ratio_) {
        ratio = ratio_;
    }

    function set(uint256 ratio_) external {
        ratio = ratio_;
    }
}

struct RatioCap {
    address base;
    address provider;
    uint8 ratioDecimals;
    uint104 snapshotRatio;
    uint48 snapshotTimestamp;
    uint16 maxYearlyGrowthBps;
    string description;
}

abstract contract RatioCapBase {
    uint256 public constant PERCENTAGE_FACTOR = 1e4;
    uint256 public constant SECONDS_PER_YEAR = 365 days;

    ISource public immutable BASE_TO_USD_AGGREGATOR;
    address public immutable RATIO_PROVIDER;
    uint8 public immutable DECIMALS;
    uint8 public immutable RATIO_DECIMALS;
    string public description;
    uint256 public getSnapshotRatio;
    uint256 public getSnapshotTimestamp;
    uint256 public getMaxYearlyGrowthRatePercent;
    uint256 internal _growth;

    constructor(RatioCap memory p) {
        BASE_TO_USD_AGGREGATOR = ISource(p.base);
        RATIO_PROVIDER = p.provider;
        RATIO_DECIMALS = p.ratioDecimals;
        DECIMALS = ISource(p.base).decimals();
        description = p.description;
        setCapParameters(p.snapshotRatio, p.snapshotTimestamp, p.maxYearlyGrowthBps);
    }

    function setCapParameters(uint104 snapshotRatio, uint48 snapshotTimestamp, uint16 maxYearlyGrowthBps) public {
        getSnapshotRatio = snapshotRatio;
        getSnapshotTimestamp = snapshotTimestamp;
        getMaxYearlyGrowthRatePercent = maxYearlyGrowthBps;
        _growth = uint256(snapshotRatio) * maxYearlyGrowthBps * _scale() / PERCENTAGE_FACTOR / SECONDS_PER_YEAR;
    }

    function decimals() external view returns (uint8) {
        return DECIMALS;
    }

    function getRatio() public view virtual returns (int256) {
        return int256(RatioProvider(RATIO_PROVIDER).ratio());
    }

    function isCapped() external view returns (bool) {
        return getRatio() > _maxRatio();
    }

    function latestAnswer() external view returns (int256) {
        int256 ratio = getRatio();
        int256 base = BASE_TO_USD_AGGREGATOR.latestAnswer();
        if (base <= 0 || ratio <= 0) return 0;
        int256 most = _maxRatio();
        return base * (most < ratio ? most : ratio) / int256(10 ** RATIO_DECIMALS);
    }

    function _maxRatio() internal view returns (int256) {
        return int256(getSnapshotRatio + _growth * (block.timestamp - getSnapshotTimestamp) / _scale());
    }

    function _scale() internal pure virtual returns (uint256);
}

/// Ratio times base price, the ratio capped by a growth kept in millionths.
contract RatioCapAdapter is RatioCapBase {
    uint256 public constant SCALING_FACTOR = 1e6;

    constructor(RatioCap memory p) RatioCapBase(p) {}

    function getMaxRatioGrowthPerSecond() external view returns (uint256) {
        return _growth / SCALING_FACTOR;
    }

    function getMaxRatioGrowthPerSecondScaled() external view returns (uint256) {
        return _growth;
    }

    function _scale() internal pure override returns (uint256) {
        return SCALING_FACTOR;
    }
}

/// The older form: a whole growth per second.
contract PlainRatioCapAdapter is RatioCapBase {
    constructor(RatioCap memory p) RatioCapBase(p) {}

    function getMaxRatioGrowthPerSecond() external view returns (uint256) {
        return _growth;
    }

    function _scale() internal pure override returns (uint256) {
        return 1;
    }
}

/// The ratio comes from a price feed instead of from the token.
contract FeedRatioCapAdapter is RatioCapAdapter {
    constructor(RatioCap memory p) RatioCapAdapter(p) {}

    function getRatio() public view override returns (int256) {
        return ISource(RATIO_PROVIDER).latestAnswer();
    }
}

/// A stablecoin's price, capped.
contract StableCapAdapter {
    ISource public immutable ASSET_TO_USD_AGGREGATOR;
    uint8 public immutable decimals;
    string public description;
    int256 public getPriceCap;

    constructor(address asset, int256 cap, string memory description_) {
        ASSET_TO_USD_AGGREGATOR = ISource(asset);
        decimals = ISource(asset).decimals();
        description = description_;
        getPriceCap = cap;
    }

    function setPriceCap(int256 cap) external {
        getPriceCap = cap;
    }

    function isCapped() external view returns (bool) {
        return ASSET_TO_USD_AGGREGATOR.latestAnswer() > getPriceCap;
    }

    function latestAnswer() external view returns (int256) {
        int256 price = ASSET_TO_USD_AGGREGATOR.latestAnswer();
        if (price > getPriceCap) return getPriceCap;
        return price <= 0 ? int256(0) : price;
    }
}

/// A stablecoin's price, capped at a multiple of the currency that it is pegged to.
contract CurrencyCapAdapter {
    ISource public immutable ASSET_TO_USD_AGGREGATOR;
    ISource public immutable BASE_TO_USD_AGGREGATOR;
    uint8 public immutable RATIO_DECIMALS;
    uint8 public immutable decimals;
    string public description;
    int256 public getPriceCapRatio;

    constructor(address asset, address base, int256 capRatio, uint8 ratioDecimals, string memory description_) {
        ASSET_TO_USD_AGGREGATOR = ISource(asset);
        BASE_TO_USD_AGGREGATOR = ISource(base);
        RATIO_DECIMALS = ratioDecimals;
        decimals = ISource(asset).decimals();
        description = description_;
        getPriceCapRatio = capRatio;
    }

    function isCapped() external view returns (bool) {
        return ASSET_TO_USD_AGGREGATOR.latestAnswer() > latestAnswer();
    }

    function latestAnswer() public view returns (int256) {
        int256 price = ASSET_TO_USD_AGGREGATOR.latestAnswer();
        int256 most = BASE_TO_USD_AGGREGATOR.latestAnswer() * getPriceCapRatio / int256(10 ** RATIO_DECIMALS);
        return price > most ? most : price;
    }
}

/// Asset to peg times peg to base.
contract PegToBaseAdapter {
    ISource public immutable PEG_TO_BASE;
    ISource public immutable ASSET_TO_PEG;
    uint8 public immutable DECIMALS;
    int256 public immutable DENOMINATOR;
    string public description;

    constructor(address pegToBase, address assetToPeg, uint8 decimals_, string memory description_) {
        PEG_TO_BASE = ISource(pegToBase);
        ASSET_TO_PEG = ISource(assetToPeg);
        DECIMALS = decimals_;
        DENOMINATOR = int256(10 ** (uint256(ISource(pegToBase).decimals()) + ISource(assetToPeg).decimals()));
        description = description_;
    }

    function decimals() external view returns (uint8) {
        return DECIMALS;
    }

    function latestAnswer() external view returns (int256) {
        int256 asset = ASSET_TO_PEG.latestAnswer();
        int256 peg = PEG_TO_BASE.latestAnswer();
        if (asset <= 0 || peg <= 0) return 0;
        return asset * peg * int256(10 ** DECIMALS) / DENOMINATOR;
    }
}

/// Asset to peg divided by base to peg.
contract BaseToPegAdapter {
    ISource public immutable BASE_TO_PEG;
    ISource public immutable ASSET_TO_PEG;
    uint8 public immutable DECIMALS;
    string public description;

    constructor(address baseToPeg, address assetToPeg, uint8 decimals_, string memory description_) {
        require(ISource(baseToPeg).decimals() == ISource(assetToPeg).decimals(), "decimals differ");
        BASE_TO_PEG = ISource(baseToPeg);
        ASSET_TO_PEG = ISource(assetToPeg);
        DECIMALS = decimals_;
        description = description_;
    }

    function decimals() external view returns (uint8) {
        return DECIMALS;
    }

    function latestAnswer() external view returns (int256) {
        int256 asset = ASSET_TO_PEG.latestAnswer();
        int256 base = BASE_TO_PEG.latestAnswer();
        if (asset <= 0 || base <= 0) return 0;
        return asset * int256(10 ** DECIMALS) / base;
    }
}

contract PrincipalToken {
    uint256 public immutable expiry;

    constructor(uint256 expiry_) {
        expiry = expiry_;
    }
}

/// A principal token: its asset's price less a discount that melts away until maturity.
contract PrincipalDiscountAdapter {
    uint256 public constant PERCENTAGE_FACTOR = 1e18;
    uint256 public constant SECONDS_PER_YEAR = 365 days;

    address public immutable PENDLE_PRINCIPAL_TOKEN;
    ISource public immutable ASSET_TO_USD_AGGREGATOR;
    uint8 public immutable DECIMALS;
    uint256 public immutable MATURITY;
    uint64 public immutable MAX_DISCOUNT_RATE_PER_YEAR;
    uint64 public discountRatePerYear;
    string public description;

    constructor(address token, address asset, uint64 rate, uint64 maxRate, string memory description_) {
        PENDLE_PRINCIPAL_TOKEN = token;
        ASSET_TO_USD_AGGREGATOR = ISource(asset);
        DECIMALS = ISource(asset).decimals();
        MATURITY = PrincipalToken(token).expiry();
        MAX_DISCOUNT_RATE_PER_YEAR = maxRate;
        description = description_;
        setDiscountRatePerYear(rate);
    }

    function setDiscountRatePerYear(uint64 rate) public {
        require(rate > 0 && rate <= MAX_DISCOUNT_RATE_PER_YEAR, "discount rate");
        discountRatePerYear = rate;
    }

    function decimals() external view returns (uint8) {
        return DECIMALS;
    }

    function getCurrentDiscount() public view returns (uint256) {
        uint256 left = MATURITY > block.timestamp ? MATURITY - block.timestamp : 0;
        return left * discountRatePerYear / SECONDS_PER_YEAR;
    }

    function latestAnswer() external view returns (int256) {
        int256 price = ASSET_TO_USD_AGGREGATOR.latestAnswer();
        if (price <= 0) return 0;
        return int256(uint256(price) * (PERCENTAGE_FACTOR - getCurrentDiscount()) / PERCENTAGE_FACTOR);
    }
}

/// A price that only an administrator changes.
contract FixedPriceAdapter {
    address public immutable ACL_MANAGER;
    uint8 public immutable DECIMALS;
    string public description;
    int256 public price;

    constructor(address aclManager, uint8 decimals_, int256 price_, string memory description_) {
        ACL_MANAGER = aclManager;
        DECIMALS = decimals_;
        price = price_;
        description = description_;
    }

    function setPrice(int256 price_) external {
        price = price_;
    }

    function decimals() external view returns (uint8) {
        return DECIMALS;
    }

    function latestAnswer() external view returns (int256) {
        return price;
    }
}

/// One dollar, for ever.
contract ConstantDollar {
    int256 public constant GHO_PRICE = 1e8;

    function decimals() external pure returns (uint8) {
        return 8;
    }

    function latestAnswer() external pure returns (int256) {
        return GHO_PRICE;
    }
}

/// Wiring that nobody knows: an answer of its own.
contract UnknownAdapter {
    uint8 public constant decimals = 8;
    int256 private _answer;

    constructor(int256 answer) {
        _answer = answer;
    }

    function set(int256 answer) external {
        _answer = answer;
    }

    function latestAnswer() external view returns (int256) {
        return _answer;
    }
}

/// Wiring that nobody knows: it follows a feed and does not say so.
contract HiddenAdapter {
    uint8 public constant decimals = 8;
    ISource private immutable _feed;
    int256 private immutable _bps;

    constructor(address feed, int256 bps) {
        _feed = ISource(feed);
        _bps = bps;
    }

    function latestAnswer() external view returns (int256) {
        return _feed.latestAnswer() * _bps / 10_000;
    }
}

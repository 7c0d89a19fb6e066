{#- How PostgreSQL and Snowflake read JSON. `json` is a column or an expression. -#}

{#- A quoted name, in the warehouse's own case. -#}
{%- macro quoted(name) -%}
    {%- set name = name | upper if target.type == 'snowflake' else name -%}
    {{ return(adapter.quote(name | replace('"', '""'))) }}
{%- endmacro -%}

{%- macro literal(text) -%}
    {%- set text = text | replace('\\', '\\\\') if target.type == 'snowflake' else text -%}
    {{ return("'" ~ (text | replace("'", "''")) ~ "'") }}
{%- endmacro -%}

{%- macro json_get(json, keys) -%}
    {%- if target.type == 'snowflake' -%}
    {{ json }}{% for key in keys %}[{{ dbt_fullstory_imports.literal(key) }}]{% endfor %}
    {%- else -%}
    ({{ json }}{% for key in keys %} -> {{ dbt_fullstory_imports.literal(key) }}{% endfor %})
    {%- endif -%}
{%- endmacro -%}

{#- A text as it is, anything else as JSON. -#}
{%- macro json_text(json) -%}
    {%- if target.type == 'snowflake' -%} cast({{ json }} as varchar)
    {%- else -%} ({{ json }} #>> '{}')
    {%- endif -%}
{%- endmacro -%}

{#- string, number, boolean, array, object or null -#}
{%- macro json_kind(json) -%}
    {%- if target.type == 'snowflake' -%}
    case typeof({{ json }})
        when 'VARCHAR' then 'string'
        when 'BOOLEAN' then 'boolean'
        when 'ARRAY' then 'array'
        when 'OBJECT' then 'object'
        when 'NULL_VALUE' then 'null'
        else case when {{ json }} is not null then 'number' end
    end
    {%- else -%} jsonb_typeof({{ json }})
    {%- endif -%}
{%- endmacro -%}

{#- A join with the fields of an object: `field.key` and `field.value`. -#}
{%- macro json_fields(json) -%}
    {%- if target.type == 'snowflake' -%}
    , lateral flatten(input => {{ json }}) as field
    {%- else -%}
    cross join lateral jsonb_each(
        case when jsonb_typeof({{ json }}) = 'object' then {{ json }} end
    ) as field (key, value)
    {%- endif -%}
{%- endmacro -%}

{#- An aggregate: the value of the highest place that has one. -#}
{%- macro newest(column, place) -%}
    {%- if target.type == 'snowflake' -%}
    max_by({{ column }}, case when {{ column }} is not null then {{ place }} end)
    {%- else -%}
    (array_agg({{ column }} order by {{ place }} desc) filter (where {{ column }} is not null))[1]
    {%- endif -%}
{%- endmacro -%}
